"""Runs: an arm on a fold with a seed, and the files that tell how it went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from speechlasso.data.recorded_clips import CLIPS
from speechlasso.evaluation.inner_folds import is_inner
from speechlasso.pipeline.observations import Observations, with_content
from speechlasso.pipeline.variants import Variant


@dataclass(frozen=True)
class Run:
    """One arm on one fold with one seed."""

    arm: str
    fold: str
    seed: int
    evaluation: Variant
    description: Variant | None
    reads: frozenset[str] = frozenset()
    """Of text and audio what it predicts by."""

    def with_ancestors(self) -> Iterator[Variant]:
        """Every variant the run needs; its own selection after one that gave the size."""
        if self.description:
            yield from self.description.with_ancestors()
        yield from self.evaluation.with_ancestors()

    def with_content(self, observations: Observations, known: dict[str, Variant]) -> Run:
        """The run with keys that cover what the user's files hold."""
        description = self.description
        return replace(
            self,
            evaluation=with_content(self.evaluation, observations, known),
            description=description and with_content(description, observations, known),
        )

    def parts(self) -> dict[str, Variant]:
        """What the run is made of, by role; where several have one role, the nearest to its scores.

        Of another arm whose predictions it reads only these are a part, not what lies behind them;
        but the manifest is that of all arms. Of inner folds the predictions that are scored are.
        """
        predictions = self.evaluation.upstream["predictions"]
        training = predictions.upstream.get("training", predictions)
        found = {"evaluation": self.evaluation, **self.evaluation.upstream, "training": training}
        if self.description:
            found["description"] = self.description
        behind = _behind(training, of_other_arms=False)
        if "manifest" not in behind:
            behind["manifest"] = _behind(training, of_other_arms=True)["manifest"]
        return behind | found

    def folders(self) -> dict[str, str]:
        """Folder of each part."""
        return {role: variant.folder for role, variant in self.parts().items()}

    def all_folders(self) -> set[str]:
        """Folders of everything the run needs, both selections of a random control included."""
        return {variant.folder for variant in self.with_ancestors()}

    def files(self) -> list[str]:
        """What both the tables and the report read of the run."""
        folders = self.folders()
        files = [f"{folders['evaluation']}/metrics.json", f"{folders['training']}/training.json"]
        if "adapt" in folders:
            files += [f"{folders['adapt']}/{name}" for name in ("training_log.csv", "spec.json")]
        return [*files, f"{folders['select']}/selection.json"] if "select" in folders else files

    def overlap_files(self) -> list[str]:
        """What tells whether the run, or one whose predictions it reads, was adapted to rows that
        test it (`corpus_overlap`)."""
        adapted = {v.folder: v for v in self.with_ancestors() if v.stage == "adapt_lm"}
        return [f"{folder}/overlap.json" for folder in adapted]

    def anchor_bias_file(self) -> str | None:
        """The speech anchor bias of the run's language model, where it learned from its answers."""
        adapt = self.parts().get("adapt")
        if adapt is None or adapt.settings.adapt.objective != "self_powered":
            return None
        return f"{adapt.folder}/anchor_bias.json"

    def described(self) -> dict[str, str] | None:
        """Where the evidence for the run's audio tokens lies, and their path if they lie on one."""
        if self.description is None:
            return None
        path = self.description.upstream.get("path")
        found = {"arm": self.arm, "fold": self.fold, "description": self.description.folder}
        return found | ({"path": path.folder} if path else {})

    def codec_layers(self) -> str | None:
        """The codec layers that its audio tokens are chosen from, in words."""
        select = self.parts().get("select")
        if select is None:
            return None
        layers = getattr(select.settings.selection, "layers", select.settings.layers)
        if layers:
            return ", ".join(map(str, layers))
        last = select.upstream["bow"].settings.bow.layers
        return f"last {last}" if last else "all"

    def training_log(self) -> str | None:
        """How the run learned its task, where its system writes that down."""
        training = self.parts()["training"]
        has_log = "training_log.csv" in training.settings.card.records
        return f"{training.folder}/training_log.csv" if has_log else None

    def tested_files(self) -> list[str]:
        """What `tested_arms` and `without_audio` read of the run, and what its clips were."""
        folders = self.folders()
        training, clips = f"{folders['training']}/training.json", f"{folders['manifest']}/{CLIPS}"
        return [*self.test_row_files(), training, clips]

    def test_row_files(self) -> list[str]:
        """What the run's test rows are read from (`run_predictions`)."""
        folders = self.folders()
        return [
            f"{folders['predictions']}/predictions.parquet",
            f"{folders['manifest']}/manifest.parquet",
            f"{folders['evaluation']}/spec.json",
        ]


def _behind(training: Variant, of_other_arms: bool) -> dict[str, Variant]:
    """What a training reads, directly or not, by role; the nearest of several."""
    found: dict[str, Variant] = {}
    level = [training]
    while level:
        read = [
            (role, read)
            for variant in level
            for role, read in variant.upstream.items()
            if not is_inner(role)
        ]
        found = dict(read[::-1]) | found
        followed = [v for _, v in read if of_other_arms or not v.settings.predicts]
        level = list({variant.folder: variant for variant in followed}.values())
    return found
