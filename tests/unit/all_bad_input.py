"""All cases of bad input: importing this fills `bad_input.CASES`."""

import bad_clips  # noqa: F401
import bad_configurations  # noqa: F401
import bad_models  # noqa: F401
import bad_tables  # noqa: F401
import bad_trained_models  # noqa: F401
