"""What every rule script does around its one call: logs, messages, the spec beside the result."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechlasso import __version__
from speechlasso.digests import DIGESTS, DigestCache
from speechlasso.errors import DEBUG, InputError, is_out_of_memory, refused_by_disk
from speechlasso.experiment.load import merged
from speechlasso.experiment.out_of_memory import too_little_memory
from speechlasso.experiment.plugins import use_plugins
from speechlasso.files import remove_unfinished, write_json
from speechlasso.integrity import RECORD, record, require_intact, unreadable
from speechlasso.pipeline.provenance import environment
from speechlasso.pipeline.stages import STAGES, Stage
from speechlasso.pipeline.variants import RESULTS
from speechlasso.training.settings import CHECKPOINT

logger = logging.getLogger(__name__)


@contextmanager
def job(snakemake: Any) -> Iterator[Any]:
    """Run a rule script's body.

    Messages, progress bars and tracebacks go to the rule's log. An `InputError`, want of memory and
    what a disk refused show their message alone and end the job with exit code 1; so does a result
    that another job wrote and that holds something else by now. When the body ends well, spec.json
    is written last, with digests of what the job wrote, and a checkpoint is of no more use.

    Yields
    ------
    Stage
        The job's settings; None for rules outside the plan's stages.
    """
    spec = snakemake.params.get("spec")
    settings = _settings(spec, snakemake.params.get("computation")) if spec else None
    with _logged(snakemake.log[0]):
        started = time.perf_counter()
        results = list(_results_read(snakemake))
        try:
            _remove_unfinished(snakemake)
            require_intact(results)
            files = _DataFiles(spec, settings)
            files.require_unchanged()
            yield settings
            files.require_unchanged()
            if spec:
                digests = record(snakemake.output, snakemake.output.spec)
                write_json(snakemake.output.spec, _full_spec(spec, settings) | {RECORD: digests})
        except InputError as error:
            logger.error("%s", error, exc_info=DEBUG in os.environ)
            sys.exit(1)
        except Exception as error:
            if is_out_of_memory(error):
                folder = Path(snakemake.output[0]).parent
                logger.error("%s", too_little_memory(error, folder, settings))
            elif told := refused_by_disk(error) or unreadable(results):
                logger.error("%s", told, exc_info=DEBUG in os.environ)
            else:
                logger.exception("%s failed", snakemake.rule)
            sys.exit(1)
        if spec:
            shutil.rmtree(Path(snakemake.output.spec).parent / CHECKPOINT, ignore_errors=True)
        logger.info("%s done in %.1f s", snakemake.rule, time.perf_counter() - started)


def _settings(spec: dict[str, Any], computation: dict[str, Any] | None) -> Stage:
    """What the key covers, and what changes only how the job computes."""
    use_plugins(spec.get("origin", {}).get("modules", ()))
    return STAGES[spec["stage"]].model_validate(merged(spec["settings"], computation or {}))


@contextmanager
def _logged(log: str) -> Iterator[None]:
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", buffering=1, encoding="utf-8") as stream:
        logging.basicConfig(
            stream=stream,
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            force=True,
        )
        logging.captureWarnings(True)
        yield


def _results_read(snakemake: Any) -> Iterator[str | Path]:
    """The results among its inputs, and a model's folder: more is read of it than its card lists.

    Of shards that are divided as the job's own work only its own: if each of many jobs read all of
    them, that would take longer than the jobs.
    """
    mine = snakemake.wildcards.get("shard"), snakemake.wildcards.get("n_shards")
    for path in snakemake.input:
        shard, _, n_shards = Path(path).name.partition(".")[0].partition("-of-")
        is_of_other_job = n_shards == mine[1] and shard != f"shard-{mine[0]}"
        if Path(path).parts[0] == RESULTS and not is_of_other_job:
            yield path
    for path in snakemake.input.get("training", []):
        yield Path(path).parent


def _remove_unfinished(snakemake: Any) -> None:
    """In a folder of its own all that is left there. Of a shard, and of an experiment's tables and
    page, its own files alone, as other jobs write theirs beside them."""
    outputs = list(map(Path, snakemake.output))
    if snakemake.params.get("spec") and not snakemake.wildcards.get("shard"):
        for folder in {path.parent for path in outputs}:
            remove_unfinished(folder)
    else:
        for path in outputs:
            remove_unfinished(path.parent, path.stem)


class _DataFiles:
    """The user's files that a job reads by itself, which hold what its key says."""

    def __init__(self, spec: dict[str, Any] | None, settings: Stage | None) -> None:
        self._paths = settings.data_files() if settings else {}
        self._planned = spec["data"] if spec else {}
        self._cache = DigestCache(DIGESTS) if self._paths else None

    def require_unchanged(self) -> None:
        if self._cache is None:
            return
        found = self._cache.digests(self._paths.values())
        changed = [p for name, p in self._paths.items() if found[p] != self._planned.get(name)]
        if changed:
            raise InputError.listing(
                "Files were replaced since the run was planned:", changed, "Run snakemake again."
            )


def _full_spec(spec: dict[str, Any], settings: Stage) -> dict[str, Any]:
    """The spec with every default spelled out, for people and for old results."""
    return {**spec, "settings": settings.model_dump(mode="json"), "speechlasso": __version__} | {
        "environment": environment(settings)
    }
