"""What a run can read, each artifact by its name: the variants behind one fold and one seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from speechlasso.data.settings import Columns, Table
from speechlasso.pipeline import stages
from speechlasso.pipeline.variants import Variant
from speechlasso.selection.settings import LassoFitting, LassoSelection
from speechlasso.systems.settings import Arm
from speechlasso.tokenizers.cards import TOKENIZERS

if TYPE_CHECKING:
    from speechlasso.experiment.settings import Settings

DEMO_COLUMNS = Columns(split="split", group="speaker")


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of one arm's settings on one fold with one seed."""

    settings: Settings
    fold: str
    seed: int

    def manifest(self) -> Variant:
        audio = self.settings.audio.as_read(self.has_audio)
        if self.settings.dataset.source == "demo":
            demo = Variant(stages.Corpus(demo=self.settings.dataset.demo))
            table, upstream = Table(columns=DEMO_COLUMNS), {"corpus": demo}
        else:
            table, upstream = self.settings.dataset.table.as_read(), {}
        return Variant(
            stages.Manifest(table=table, on_bad=audio.on_bad, max_bad_share=audio.max_bad_share),
            upstream,
        )

    def folds(self) -> Variant:
        folds = self.settings.dataset.folds.as_read()
        return Variant(stages.FoldDivision(folds=folds), {"manifest": self.manifest()})

    def codes(self) -> Variant:
        """Codes of a pretrained tokenizer are the same in all folds, and so are made once."""
        tokenizer = self.settings.tokenizer.as_read()
        upstream = {"manifest": self.manifest()}
        if TOKENIZERS[tokenizer.method].learns:
            upstream["tokenizer"] = Variant(
                stages.FitTokenizer(tokenizer=tokenizer, fold=self.fold),
                {"manifest": upstream["manifest"], "folds": self.folds()},
            )
        return Variant(stages.Codes(tokenizer=tokenizer), upstream)

    def bag_of_words(self) -> Variant:
        upstream = {"manifest": self.manifest(), "folds": self.folds()}
        has_audio = self.has_audio
        if has_audio:
            upstream["codes"] = self.codes()
        return Variant(
            stages.BagOfWordsCounts(bow=self.settings.bow.as_read(has_audio), fold=self.fold),
            upstream,
        )

    def selection(self, name: str) -> Variant:
        selection = self.settings.select[name]
        upstream = {"bow": self.bag_of_words()}
        options: dict[str, Any] = {}
        as_read = selection.as_read()
        if selection.reads_path:
            upstream["path"] = _lasso_path(selection, upstream["bow"])
            as_read = as_read.with_defaults("n_subsamples")  # of its description
        if selection.is_cross_validated:
            options |= self.settings.evaluate.as_read(chooses=True).model_dump()
        if like := getattr(selection, "like", None):
            upstream["like"] = self.selection(like)
            if not hasattr(selection, "layers"):
                options["layers"] = getattr(self.settings.select[like], "layers", None)
        if selection.draws:
            options |= {"seed": self.seed, "fold": self.fold}
        return Variant(stages.SelectTokens(selection=as_read, **options), upstream)

    def description(self, name: str) -> Variant | None:
        """The evidence for a selection; chance and "all" need none."""
        selection = self.settings.select[name]
        if not selection.has_evidence:
            return None
        select = self.selection(name)
        upstream = {"select": select, "manifest": self.manifest(), "codes": self.codes()}
        settled = stages.DescribeSelection(selection=selection.as_read())
        return Variant(settled, upstream | select.upstream)

    def token_texts(self, arm: Arm) -> Variant:
        upstream = {"manifest": self.manifest(), "folds": self.folds()}
        if arm.reads_audio:
            upstream["codes"] = self.codes()
            upstream["select"] = self.selection(arm.select)
        return Variant(stages.TokenTexts(inputs=arm.inputs, fold=self.fold), upstream)

    def evaluation(self, arm: Arm) -> Variant:
        """The last variant of a run, with all that it reads behind it."""
        positive_label = self.settings.evaluate.positive_label
        of_system = {"linear": self._linear, "lm": self._language_model}
        predictions = of_system[arm.classifier](arm)
        return Variant(stages.Evaluate(positive_label=positive_label), {"predictions": predictions})

    def _linear(self, arm: Arm) -> Variant:
        upstream = {"bow": self.bag_of_words()}
        if arm.reads_audio:
            upstream["select"] = self.selection(arm.select)
        linear = self.settings.finetune.linear.as_read()
        score = self.settings.evaluate.as_read(linear.chooses).model_dump()
        seed_read = self.seed if linear.method == "dummy" else None
        return Variant(
            stages.FitLinear(inputs=arm.inputs, linear=linear, seed=seed_read, **score), upstream
        )

    def _language_model(self, arm: Arm) -> Variant:
        token_texts = self.token_texts(arm)
        upstream = {"token_texts": token_texts}
        reads_audio = arm.reads_audio
        if reads_audio and arm.adapt:
            upstream["adapt"] = self._adaptation(arm, token_texts)
        finetune = Variant(
            stages.FinetuneLM(
                lm=self.settings.lm.as_read(has_new_rows=reads_audio),
                finetune=self.settings.finetune.as_read(reads_audio),
                metric=self.settings.evaluate.as_read(self.settings.finetune.chooses).metric,
                positive_label=self.settings.evaluate.positive_label,
                seed=self.seed,
            ),
            upstream,
        )
        return Variant(stages.Predict(), {"finetune": finetune, "token_texts": token_texts})

    def _adaptation(self, arm: Arm, token_texts: Variant) -> Variant:
        """Adaptation to the fold's token texts, or to a corpus that is searched for test rows."""
        upstream, options = {"token_texts": token_texts}, {}
        if corpus := self.settings.adapt.corpus:
            texts = self._texts_of_corpus(arm, corpus)
            upstream = {
                "token_texts": texts,
                "corpus": texts.upstream["manifest"],
                "manifest": self.manifest(),
                "folds": self.folds(),
            }
            own = upstream["manifest"].settings.table
            options = {"fold": self.fold, "by_id": None not in (own.columns.id, corpus.columns.id)}
        return Variant(
            stages.AdaptLM(
                lm=self.settings.lm.as_read(
                    has_own_precision=self.settings.adapt.weights == "fp32"
                ),
                adapt=self.settings.adapt.as_read(),
                seed=self.seed,
                **options,
            ),
            upstream,
        )

    def _texts_of_corpus(self, arm: Arm, corpus: Table) -> Variant:
        """Token texts of the corpus to adapt to, by the fold's tokenizer and selection."""
        without = ["label", "split", "group"]
        manifest = Variant(
            stages.Manifest(
                table=corpus.as_read(without),
                on_bad=self.settings.audio.on_bad,
                max_bad_share=self.settings.audio.max_bad_share,
                without=without,
            )
        )
        codes = self.codes()
        codes = Variant(codes.settings, codes.upstream | {"manifest": manifest})
        select = self.selection(arm.select)
        return Variant(
            stages.TokenTexts(inputs=arm.inputs),
            {"manifest": manifest, "codes": codes, "select": select},
        )

    @property
    def has_audio(self) -> bool:
        return (
            self.settings.dataset.source == "demo"
            or self.settings.dataset.table.columns.audio is not None
        )


def _lasso_path(selection: LassoSelection, bow: Variant) -> Variant:
    fields = set(LassoFitting.model_fields)
    fitting = LassoFitting.model_validate(selection.model_dump(include=fields))
    return Variant(stages.LassoPath(fitting=fitting), {"bow": bow})
