"""What planning learns from the user's files, so that keys cover what the files hold.

The process that plans a run looks at the files: sizes and times of all, contents of those that
changed. A run writes down what it found, and its jobs on other machines plan from that, so that no
job looks at the whole corpus, and all have the keys of one moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechlasso.data.recorded_clips import CLIPS, RecordedClips, digest_of_clips, is_the_users
from speechlasso.digests import DIGESTS, DigestCache
from speechlasso.errors import InputError
from speechlasso.files import made_again_by, read_json, remove_unfinished, write_json
from speechlasso.integrity import require_intact
from speechlasso.pipeline.stages import Manifest

if TYPE_CHECKING:
    from speechlasso.pipeline.variants import Variant


class Observations:
    """Answers to questions about files, each found out once.

    Parameters
    ----------
    written
        What a run wrote down; None to look at the files.
    """

    def __init__(self, written: str | Path | None = None) -> None:
        self._written = written
        self._answers: dict[str, Any] = {}
        if written is not None:
            if not Path(written).is_file():
                raise InputError(
                    f"{written}: missing. The run that starts a job writes it; jobs on other "
                    "machines need the same file system"
                )
            self._answers = read_json(written)

    @cached_property
    def _cache(self) -> DigestCache:
        # It may be large, and jobs never look.
        return DigestCache(DIGESTS)

    def ask(self, question: str, look: Callable[[], Any]) -> Any:
        if question not in self._answers:
            if self._written is not None:
                raise InputError(f"{self._written}: is of another configuration ({question})")
            self._answers[question] = look()
        return self._answers[question]

    def write(self, path: str | Path) -> None:
        for file in map(Path, (path, DIGESTS)):
            remove_unfinished(file.parent, file.stem)  # of a run that was killed
        write_json(path, self._answers)

    def content(self, variant: Variant) -> dict[str, str]:
        """What spec.json says of the files that a variant itself reads.

        Raises
        ------
        InputError
            Listing the files that cannot be read.
        """
        if not variant.settings.data_files():
            return {}
        data = self.ask(f"files of {variant.folder}", lambda: self._digests(variant))
        missing = [variant.settings.data_files()[name] for name in data if data[name] is None]
        if missing:
            raise InputError.listing(
                "Files that the configuration names cannot be read:",
                (f"{path}: {_problem(path)}" for path in missing),
                f"Correct the paths (they start from {Path.cwd()}), or put the files there.",
            )
        return data

    def clips(self, manifest: Variant) -> dict[str, Any] | None:
        """Number of clips of a finished manifest, how many hold something else by now, and the
        digest of what all hold; None before it is finished.

        Clips that the workflow wrote are not looked at.
        """
        return self.ask(f"clips of {manifest.folder}", lambda: self._changed_clips(manifest))

    def _digests(self, variant: Variant) -> dict[str, str | None]:
        files = variant.settings.data_files()
        digests = self._cache.digests(files.values())
        self._cache.save()
        return {name: digests[path] for name, path in files.items()}

    def _changed_clips(self, manifest: Variant) -> dict[str, Any] | None:
        path = Path(manifest.folder, CLIPS)
        if not path.is_file():
            return None
        require_intact([path], f"Remove it, then {made_again_by([path])}")
        recorded = RecordedClips.read(path)
        known = {clip: mark for clip, mark in recorded.fingerprints.items() if mark}
        before = recorded.digests
        digests = self._cache.digests(filter(is_the_users, before), known)
        self._cache.save()
        n_changed = sum(digest != before[clip] for clip, digest in digests.items())
        return {"n": len(digests), "changed": n_changed, "digest": digest_of_clips(digests)}


def _problem(path: str) -> str:
    return "is no file or may not be read" if Path(path).exists() else "no such file"


def with_content(
    variant: Variant, observations: Observations, known: dict[str, Variant]
) -> Variant:
    """The variant, and all that it reads, with keys that cover what the files of each hold.

    Parameters
    ----------
    known
        Variants done before, by the folder that they had; grows.
    """
    if variant.folder not in known:
        upstream = {
            role: with_content(read, observations, known) for role, read in variant.upstream.items()
        }
        new = replace(variant, upstream=upstream, data=observations.content(variant))
        if isinstance(new.settings, Manifest):
            clips = observations.clips(new)
            # While clips are what they were when first checked, a manifest keeps its folder.
            if clips and clips["changed"]:
                new = replace(new, data={**new.data, "clips": clips["digest"]})
        known[variant.folder] = new
    return known[variant.folder]
