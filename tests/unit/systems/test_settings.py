"""What all systems have in common."""

from __future__ import annotations

import pytest

from speechlasso.errors import InputError
from speechlasso.systems.settings import Reads


def test_a_role_that_the_rule_uses_by_itself_is_refused():
    with pytest.raises(InputError, match="cannot read anything as data or specs"):
        Reads({"specs": None, "bow": None, "data": None})
    assert Reads({"bow": None}).upstream == {"bow": None}
