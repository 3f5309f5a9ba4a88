"""What is said of a job that found too little memory, and of those that the system killed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from speechlasso.errors import InputError
from speechlasso.section import Section

if TYPE_CHECKING:
    from speechlasso.experiment.plan import Plan
    from speechlasso.pipeline.stages import Stage

_LESS = {
    "micro_batch_size": "1",
    "gradient_checkpointing": "true",
    "max_length": "lower",
    "precision": "bf16",
    "weights": "bf16",
}
"""Settings by which a job asks for less, and what they should be."""
_MORE = (
    "Or let it have more: fewer jobs at a time (snakemake --cores 1), a larger machine, or where a "
    "scheduler sets limits, a larger one (docs/cluster.md).\n"
    "Then run the same command: a training goes on from its last checkpoint, whatever its "
    "micro_batch_size and gradient_checkpointing."
)
# A job's own last words; one that was killed has none.
_ENDED = re.compile(r" ERROR |^Traceback|: \w+ done in [\d.]+ s$", re.MULTILINE)


def too_little_memory(error: Exception, folder: Path, settings: Stage | None) -> InputError:
    """What a job says in place of an error that `errors.is_out_of_memory`.

    Parameters
    ----------
    folder
        Of the job's results.
    """
    return _with_advice(f"{folder}: out of memory ({_reason(error)}).", settings)


def command_out_of_memory(error: Exception) -> InputError:
    """As `too_little_memory`, of a command that a person gave."""
    return InputError(
        f"out of memory ({_reason(error)}). To `predict` and `explain` by one model, a part of a "
        "table (--id, or tables of fewer rows) and shorter clips asks for less; or let the command "
        "have more: end other programs, or take a larger machine."
    )


def _reason(error: Exception) -> str:
    # Of several processes it is the last line, after a traceback.
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def killed_jobs(plan: Plan, since: float) -> list[InputError]:
    """One for each stage of which a job was killed: those whose logs just end.

    Parameters
    ----------
    since
        Seconds since 1970: older logs are those of other runs.
    """
    killed = {
        variant.folder: variant.settings
        for of_stage in plan.variants.values()
        for variant in of_stage.values()
        for log in Path("logs", variant.stage).glob(f"{variant.key}*.log")
        if log.stat().st_mtime >= since and not _ENDED.search(log.read_text(errors="replace"))
    }
    return [
        _with_advice(
            f"{folder}: the job was killed, by you or by the system, as it does when memory runs "
            "out.",
            settings,
        )
        for folder, settings in killed.items()
    ]


def _with_advice(headline: str, settings: Stage | None) -> InputError:
    less = list(_settings_of_memory(settings)) if settings else []
    headline += "\nWhat asks for less:" if less else ""
    return InputError.listing(headline, less, _MORE)


def _settings_of_memory(section: Section, place: str = "") -> Iterator[str]:
    for name, value in section:
        if isinstance(value, Section):
            yield from _settings_of_memory(value, f"{place}{name}.")
        elif name in _LESS:
            # By default all examples of a step are computed at a time.
            now = str(value or section.part_size if name == "micro_batch_size" else value).lower()
            if now != _LESS[name]:
                yield f"{place}{name}: {_LESS[name]}, now {now}"
