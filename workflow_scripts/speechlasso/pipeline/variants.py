"""Variants: a stage with its effective settings, what it reads, and the folder of its results.

Every stage variant lives in `results/<stage>/<label>-<hash>/`, where the hash covers the stage's
name and version, its settings, what the user's files that it reads hold, and the keys of the
variants it reads. So equal work is done once, across arms and experiments; different work never
shares a folder; and going back to an old setting, or to old data, finds the old results.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from speechlasso.packaged_models import packaged_digest
from speechlasso.pipeline.stages import Stage

RESULTS = "results"


@dataclass(frozen=True, eq=False)
class Variant:
    """A stage with its effective settings and the variants it reads, by their role."""

    settings: Stage
    upstream: dict[str, Variant] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the user's files that the stage itself reads."""

    @property
    def stage(self) -> str:
        return self.settings.name

    @property
    def spec(self) -> dict[str, Any]:
        """All that the key covers, in the order of names at every depth.

        Snakemake runs a job again whose parameters look different, as they would when fields of a
        settings class changed places.
        """
        origin = self.settings.origin()
        packaged = {
            role: digest
            for role, model in self.settings.models().items()
            if (digest := packaged_digest(*model))
        }
        found = {
            "stage": self.stage,
            "version": self.settings.version,
            "settings": self.settings.hashed_settings(),
            "data": self.data,
            "upstream": {role: variant.key for role, variant in self.upstream.items()},
            **({"origin": origin} if origin else {}),
            **({"packaged_models": packaged} if packaged else {}),
        }
        return json.loads(json.dumps(found, sort_keys=True, allow_nan=False))

    @cached_property
    def key(self) -> str:
        text = json.dumps(self.spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
        # Folders of the user's have names that Snakemake would read as patterns.
        label = re.sub(r"[^\w.-]", "_", self.settings.label)
        return f"{label}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def folder(self) -> str:
        return f"{RESULTS}/{self.stage}/{self.key}"

    def with_ancestors(self) -> Iterator[Variant]:
        """The variant after all that it reads, directly or not."""
        for variant in self.upstream.values():
            yield from variant.with_ancestors()
        yield self
