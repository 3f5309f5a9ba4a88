"""Imported first by every rule script, before anything that may be missing or broken.

The package beside the rule's script comes before an installed one, and when a script cannot import
what it needs, the rule's log says why. Nothing outside the standard library is imported here.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

import __main__

# Not that of this file: another checkout may be installed, whose job_start is found first.
FOLDER = Path(__main__.snakemake.scriptdir).resolve()


def _into_the_log(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    log = Path(__main__.snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        traceback.print_exception(kind, error, trace, file=stream)
    sys.__excepthook__(kind, error, trace)


def _require_own_package() -> None:
    import speechlasso

    found = Path(speechlasso.__file__).resolve().parent
    if found.parent != FOLDER:
        raise ImportError(
            f"the job would compute with {found} (version {speechlasso.__version__}), but its "
            f"workflow was planned with {FOLDER / 'speechlasso'}; remove the first one"
        )


sys.excepthook = _into_the_log
sys.path.insert(0, str(FOLDER))
_require_own_package()
