"""What a run can read, each artifact by its name: the variants behind one fold and one seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from speechlasso.data.folds import inner_fold_names
from speechlasso.data.settings import Columns, Schedule, Table
from speechlasso.errors import InputError
from speechlasso.evaluation.inner_folds import fit_role, is_inner, predictions_role
from speechlasso.features.settings import Encoder
from speechlasso.language_model.settings import Finetune
from speechlasso.pipeline import stages
from speechlasso.pipeline.variants import Variant
from speechlasso.selection.settings import LassoFitting, LassoSelection
from speechlasso.systems.cards import SYSTEMS
from speechlasso.systems.settings import System
from speechlasso.tokenizers.cards import TOKENIZERS

if TYPE_CHECKING:
    from speechlasso.experiment.settings import Settings


def _made_once(method: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what a method returns: variants that are read often then have their key made once."""

    @wraps(method)
    def made(self: Artifacts, *arguments: Any, **options: Any) -> Any:
        call = f"{method.__name__}{arguments}{options}"
        if call not in self.made:
            self.made[call] = method(self, *arguments, **options)
        return self.made[call]

    return made


DEMO_COLUMNS = Columns(split="split", group="speaker", more=["source"])


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of one arm's settings on one fold with one seed."""

    settings: Settings
    fold: str
    seed: int
    arms: tuple[str, ...]
    """Name of the arm, after those that read its predictions."""
    settings_of: Callable[[str], Settings]
    """The settings of any arm that others may read, by its name; see `sweeps.single`."""
    is_inner: bool = False
    """Whether the fold is an inner fold."""
    made: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """See `_made_once`."""

    @_made_once
    def manifest(self) -> Variant:
        audio = self.settings.audio.as_read(self.has_audio)
        if self.settings.dataset.source == "demo":
            demo = self.settings.dataset.demo
            language = "language" if demo.second_language else None
            columns = DEMO_COLUMNS.model_copy(update={"language": language})
            table = Table(columns=columns)
            upstream = {"demo_corpus": Variant(stages.Corpus(demo=demo))}
        else:
            table, upstream = self.settings.dataset.table.as_read(), {}
        return Variant(
            stages.Manifest(table=table, on_bad=audio.on_bad, max_bad_share=audio.max_bad_share),
            upstream,
        )

    @_made_once
    def folds(self) -> Variant:
        folds = self.settings.dataset.folds.as_read()
        return Variant(stages.FoldDivision(folds=folds), {"manifest": self.manifest()})

    @_made_once
    def inner_folds(self) -> list[Artifacts]:
        """The same on each inner fold of the fold; none where validation rows choose."""
        folds = self.settings.dataset.folds
        names = [] if self.is_inner else inner_fold_names(folds, self.fold)
        return [replace(self, fold=name, is_inner=True) for name in names]

    def examples(self, schedule: Schedule) -> Variant:
        """Which training rows are learned from, with or without speech, in which order."""
        seed = None if schedule.scheme == "text_only" else self.seed
        return Variant(
            stages.ScheduleExamples(schedule=schedule.as_read(), fold=self.fold, seed=seed),
            {"manifest": self.manifest(), "folds": self.folds()},
        )

    @_made_once
    def codes(self) -> Variant:
        """Codes of a pretrained tokenizer are the same in all folds, and so are made once."""
        return self._codes_of(self.manifest())

    def _codes_of(self, manifest: Variant) -> Variant:
        """Codes of this or another corpus, by the tokenizer that the fold has learned."""
        tokenizer = self.settings.tokenizer.as_read()
        card = TOKENIZERS[tokenizer.method]
        upstream = {"manifest": manifest}
        if card.learns:
            learned_from = {"manifest": self.manifest(), "folds": self.folds()}
            if card.reads_frames:
                learned_from["frames"] = self.frames("tokenizer.layers", tokenizer.layers)
            fitted = stages.FitTokenizer(tokenizer=tokenizer, fold=self.fold)
            upstream["tokenizer"] = Variant(fitted, learned_from)
        if card.reads_frames:
            upstream["frames"] = self._frames_of(manifest)
        return Variant(stages.Codes(tokenizer=tokenizer), upstream)

    def frames(self, key: str, layers: list[int] | None = None) -> Variant:
        """Frames of the encoder: `features.frame_files.FrameFiles` reads them.

        Parameters
        ----------
        key
            The reader's setting that names the layers, for messages.
        layers
            Those that are read; by default all that are kept.

        Raises
        ------
        InputError
            If the encoder does not keep one of them.
        """
        kept = self.settings.encoder.kept_layers
        if kept is not None and (missing := sorted({*(layers or ())} - {*kept})):
            raise InputError(
                f"{key}: {missing} are not among the layers {kept} that the encoder keeps; name "
                "them in encoder.layers, too"
            )
        return self._frames_of(self.manifest())

    def _frames_of(self, manifest: Variant) -> Variant:
        encoder = self.settings.encoder.as_read()
        return Variant(stages.EncodeAudio(encoder=encoder), {"manifest": manifest})

    @_made_once
    def acoustic_frames(self, name: str) -> Variant:
        """Frames that need no model (`features.settings.ACOUSTIC_ENCODERS`), whatever the encoder
        of the experiment is."""
        return Variant(
            stages.EncodeAudio(encoder=Encoder(model=name)), {"manifest": self.manifest()}
        )

    @_made_once
    def bag_of_words(self, with_audio: bool = True) -> Variant:
        """Counts of words, and of audio tokens where there is audio."""
        upstream = {"manifest": self.manifest(), "folds": self.folds()}
        with_audio = with_audio and self.has_audio
        if with_audio:
            upstream["codes"] = self.codes()
        return Variant(
            stages.BagOfWordsCounts(bow=self.settings.bow.as_read(with_audio), fold=self.fold),
            upstream,
        )

    @_made_once
    def selection(self, name: str) -> Variant:
        selection = self.settings.select[name]
        upstream = {"bow": self.bag_of_words()}
        options: dict[str, Any] = {}
        as_read = selection.as_read()
        if selection.reads_path:
            upstream["path"] = _lasso_path(selection, upstream["bow"])
            as_read = as_read.with_defaults("n_subsamples")  # of its description
        if selection.is_cross_validated:
            options["criterion"] = self.settings.evaluate.as_read(chooses=True)
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

    @_made_once
    def token_texts(self, inputs: list[str], select: str | None) -> Variant:
        upstream = {"manifest": self.manifest(), "folds": self.folds()}
        if "audio" in inputs:
            upstream["codes"] = self.codes()
            upstream["select"] = self.selection(select)
        return Variant(stages.TokenTexts(inputs=inputs, fold=self.fold), upstream)

    def of_token_texts(self, inputs: list[str], select: str | None) -> dict[str, Variant]:
        """Token texts, with the selection and the learned tokenizer behind them, by role."""
        token_texts = self.token_texts(inputs, select)
        upstream = {"token_texts": token_texts}
        if "audio" in inputs:
            upstream["select"] = token_texts.upstream["select"]
            if tokenizer := token_texts.upstream["codes"].upstream.get("tokenizer"):
                upstream["tokenizer"] = tokenizer
        return upstream

    def evaluation(self, arm: System) -> Variant:
        """The last variant of a run, with all that it reads behind it."""
        evaluate = self.settings.evaluate
        stage = stages.Evaluate(
            positive_label=evaluate.positive_label, more_metrics=evaluate.outside_metrics
        )
        return Variant(stage, {"predictions": self.predictions(arm), **self.inner_predictions(arm)})

    @_made_once
    def training(self, arm: System) -> Variant:
        """What the arm's system learned of the task.

        Raises
        ------
        InputError
            If the system chooses on validation rows, but inner folds leave none.
        """
        reads = arm.reads(self)
        if reads.chooses and self.inner_folds() and not any(map(is_inner, reads.upstream)):
            raise InputError(
                f"arms.{self.arms[-1]}: the system {arm.system} chooses on validation rows alone; "
                "set dataset.folds.choose_on to validation_rows"
            )
        evaluate = self.settings.evaluate
        criterion = evaluate.as_read(reads.chooses)
        if reads.positive_label:
            criterion = criterion.model_copy(update={"positive_label": evaluate.positive_label})
        options = {"criterion": criterion, "seed": self.seed if reads.draws else None}
        stage = stages.STAGES[SYSTEMS[arm.system].rule]
        return Variant(stage(arm=arm.as_read(), **reads.sections, **options), reads.upstream)

    def inner_fits(self, arm: System) -> dict[str, Variant]:
        """What the system learned on each inner fold, by role (`evaluation.inner_folds`)."""
        folds = enumerate(self.inner_folds())
        return {fit_role(number): inner.training(arm) for number, inner in folds}

    def inner_predictions(self, arm: System) -> dict[str, Variant]:
        """What the system predicts on each inner fold, by role."""
        folds = enumerate(self.inner_folds())
        return {predictions_role(number): inner.predictions(arm) for number, inner in folds}

    def choosing(self, arm: System, finetune: Finetune) -> dict[str, Variant]:
        """What fine-tuning reads of inner folds to choose its epoch and its threshold by."""
        fits = self.inner_fits(arm) if finetune.epochs > 1 else {}
        is_tuned = finetune.decision_threshold == "tuned"
        return fits | (self.inner_predictions(arm) if is_tuned else {})

    def predictions(self, arm: System) -> Variant:
        """A light system predicts in the job that fits it."""
        training = self.training(arm)
        if training.settings.predicts:
            return training
        card = training.settings.card
        read = {
            role: training.upstream[role]
            for role in card.predicts_from
            if role in training.upstream
        }
        read |= arm.predicts_from(self)
        return Variant(stages.Predict(system=card.name), {"training": training, **read})

    def predictions_of(self, arm: str) -> Variant:
        """Predictions of another arm, which has its own override, on the same fold and seed.

        Raises
        ------
        InputError
            If there is no such arm, it sweeps a list of values, or it reads, directly or not, what
            it predicts itself.
        """
        *_, reader = self.arms
        if arm in self.arms:
            circle = " -> ".join([*self.arms, arm])
            raise InputError(
                f"arms.{reader}: an arm cannot read its own predictions: {circle}; name other arms"
            )
        try:
            settings = self.settings_of(arm)
        except InputError as error:
            raise InputError(f"arms.{reader}: {error}") from None
        other = replace(self, settings=settings, arms=(*self.arms, arm))
        return other.predictions(settings.arms[arm])

    @_made_once
    def adaptation(self, inputs: list[str], select: str) -> Variant:
        """Adaptation to the fold's token texts, or to a corpus that is searched for test rows.

        Raises
        ------
        InputError
            If answers about transcripts are learned, but there are none.
        """
        is_self_powered = self.settings.adapt.objective == "self_powered"
        # The answers are about the words, which then stand nowhere else.
        inputs = ["audio"] if is_self_powered else inputs
        upstream, options = {"token_texts": self.token_texts(inputs, select)}, {}
        if corpus := self.settings.adapt.corpus:
            texts = self._texts_of_corpus(inputs, select, corpus)
            upstream = {
                "token_texts": texts,
                "corpus": texts.upstream["manifest"],
                "manifest": self.manifest(),
                "folds": self.folds(),
            }
            own = upstream["manifest"].settings.table
            options = {"fold": self.fold, "by_id": None not in (own.columns.id, corpus.columns.id)}
        upstream["select"] = self.selection(select)
        if is_self_powered:
            upstream["answers"] = self._answers(upstream.get("corpus"))
        lm = self.settings.lm.as_read(
            has_codebook=self.learns_codes,
            has_own_precision=self.settings.adapt.weights == "fp32",
        )
        if lm.new_rows == "codebook":
            upstream["centroids"] = self.centroids()
        return Variant(
            stages.AdaptLM(
                lm=lm,
                adapt=self.settings.adapt.as_read(),
                seed=self.seed,
                **options,
            ),
            upstream,
        )

    def _texts_of_corpus(self, inputs: list[str], select: str, corpus: Table) -> Variant:
        """Token texts of the corpus to adapt to, by the fold's tokenizer and selection."""
        without = ["label", "split", "group", "language"]
        manifest = Variant(
            stages.Manifest(
                table=corpus.as_read([*without, "more"]),
                on_bad=self.settings.audio.on_bad,
                max_bad_share=self.settings.audio.max_bad_share,
                without=without,
            )
        )
        codes = self._codes_of(manifest)
        return Variant(
            stages.TokenTexts(inputs=inputs),
            {"manifest": manifest, "codes": codes, "select": self.selection(select)},
        )

    def _answers(self, corpus: Variant | None) -> Variant:
        """What the language model answers about transcripts: those of the corpus, if there is one,
        or of the fold's rows, or where there are many folds, of all rows, for all folds at once."""
        adapt = self.settings.adapt
        key = "adapt.corpus" if corpus else "dataset.table"
        if not (adapt.corpus.columns.text if corpus else self.has_text):
            raise InputError(
                f"adapt.objective: self_powered answers about transcripts, but {key}.columns.text "
                "is null; name the column, or set the objective to language_modelling"
            )
        folds = self.settings.dataset.folds
        if corpus or folds.method != "given" or folds.has_inner_folds:
            manifest = {"manifest": corpus or self.manifest()}
            texts, splits = Variant(stages.TokenTexts(inputs=["text"]), manifest), ["train"]
        else:
            texts, splits = self.token_texts(["text"], None), adapt.splits
        stage = stages.AnswerInstructions(
            lm=self.settings.lm.as_read(has_new_rows=False),
            self_powered=adapt.self_powered,
            holdout=adapt.holdout,
            splits=splits,
        )
        return Variant(stage, {"texts": texts})

    def centroids(self) -> Variant:
        """Of the codes that the tokenizer has learned; see `learns_codes`."""
        return self.codes().upstream["tokenizer"]

    @property
    def learns_codes(self) -> bool:
        """Whether the tokenizer learned its codebooks here."""
        return TOKENIZERS[self.settings.tokenizer.method].learns

    @property
    def has_text(self) -> bool:
        dataset = self.settings.dataset
        return dataset.source == "demo" or dataset.table.columns.text is not None

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
