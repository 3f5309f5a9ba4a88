"""The recipe of a model folder: all that prediction from clips needs besides the language model."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError

from speechlasso.errors import InputError
from speechlasso.experiment.plugins import not_imported, use_plugins
from speechlasso.files import sha256, write_json, written_whole
from speechlasso.section import Section
from speechlasso.tokenizers.cards import TOKENIZERS, Tokenizer
from speechlasso.tokenizers.settings import TokenizerMethod

RECIPE = "speechlasso.json"
SELECTION = "selection.json"
SPEECH_TOKENIZER = "speech_tokenizer.safetensors"
Role = Literal["id", "text", "audio", "start", "end"]
PLACES = ("checkpoint", "config", "model")
"""Settings that say where files of a speech tokenizer lie."""


class _Method(BaseModel):
    method: str


class _OfOthers(BaseModel):
    """What is read of a recipe first."""

    tokenizer: _Method | None = None
    plugins: list[str] = []

    def require_known(self, path: Path, imported: Collection[str]) -> None:
        """See that the tokenizer is known by now, of whatever module."""
        others = [name for name in self.plugins if name not in imported]
        if others and self.tokenizer and self.tokenizer.method not in TOKENIZERS:
            what = f"{path}: the speech tokenizer {self.tokenizer.method!r}"
            raise InputError(
                f"{not_imported(what, 'the model', others)} (in Python: plugins={others})"
            )


class Recipe(Section):
    """How clips and words became what the language model was trained on."""

    format: Literal["speechlasso model 1"] = "speechlasso model 1"
    """Raised when files of this kind change their meaning."""
    inputs: list[Literal["text", "audio"]]
    """What the model reads."""
    columns: dict[Role, str | None]
    """What the training table calls the columns that prediction reads; None for those it lacks."""
    audio_separator: str
    """Stood between the clips of one utterance."""
    tokenizer: Tokenizer | None = None
    """The speech tokenizer; None for text alone."""
    sha256: dict[str, str] = {}
    """Of each local file that a pretrained speech tokenizer was read from, by what it is."""
    plugins: list[str] = []
    """Modules that the tokenizer comes from, where it is not one of this project's."""

    @classmethod
    def from_specs(cls, specs: Iterable[Mapping[str, Any]], inputs: list[str]) -> Recipe:
        """Gather it from what a system reads and the spec.json of the manifest and the codes (if
        any)."""
        of_stage = {spec["stage"]: spec for spec in specs}
        table = of_stage["manifest"]["settings"]["table"]
        codes = of_stage.get("tokenize_audio", {"settings": {}})
        plugins = [*codes.get("origin", {}).get("modules", ())]
        cls._use(plugins)
        return cls(
            inputs=inputs,
            columns={role: table["columns"][role] for role in get_args(Role)},
            audio_separator=table["audio_separator"],
            tokenizer=codes["settings"].get("tokenizer"),
            sha256=codes.get("data", {}),
            plugins=plugins,
        )

    @classmethod
    def _use(cls, plugins: Iterable[str]) -> None:
        """Let the recipe know the tokenizers of these modules."""
        if plugins:
            use_plugins(plugins)
            cls.model_rebuild(force=True)

    @classmethod
    def read(cls, folder: str | Path, plugins: Collection[str] = ()) -> Recipe:
        """Read the recipe in a model folder.

        Parameters
        ----------
        plugins
            Modules to import first. Those that the recipe names are not: the folder may be from
            anyone.

        Raises
        ------
        InputError
            If there is none, it is of another format, or its tokenizer is of a module that is not
            imported.
        """
        path = Path(folder, RECIPE)
        if not path.is_file():
            raise InputError(
                f"{folder}: not a trained model, which is a folder with {RECIPE} in it; give one "
                "of results/finetune/ (results/experiments/NAME/index.tsv names that of each run)"
            )
        try:
            text = path.read_bytes()
            cls._use(plugins)
            _OfOthers.model_validate_json(text).require_known(path, plugins)
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError.listing(
                f"{path}: not a recipe that this version of speechlasso reads:",
                (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()),
                "Use the version that made the model, or run the workflow's rule finetune again.",
            ) from error

    @property
    def reads_audio(self) -> bool:
        return "audio" in self.inputs

    def tokenizer_from(self, places: Mapping[str, str]) -> TokenizerMethod | None:
        """Settings of the speech tokenizer, its files being those that the model was trained with.

        Parameters
        ----------
        places
            Where the files of a pretrained tokenizer lie, if not where they did in training:
            {"checkpoint": path, "config": path} or {"model": folder}.

        Raises
        ------
        InputError
            Listing the places that there are no files for, or the files that are missing or others.
        """
        unread = sorted(places) if self.tokenizer is None else _unread(self.tokenizer, places)
        if unread:
            raise InputError(
                f"The model's speech tokenizer is not read from any {' or '.join(unread)}; leave "
                "out what tokenizer says of it."
            )
        if self.tokenizer is None:
            return None
        tokenizer = self.tokenizer.model_copy(update=dict(places))
        if problems := list(_file_problems(tokenizer, self.sha256)):
            raise InputError.listing(
                f"The files of the speech tokenizer {tokenizer.method} are not at hand:",
                problems,
                "Say where they lie: --tokenizer checkpoint=FILE --tokenizer config=FILE, or "
                "--tokenizer model=FOLDER.",
            )
        return tokenizer


def _unread(tokenizer: TokenizerMethod, places: Mapping[str, str]) -> list[str]:
    """The places that the tokenizer does not read from."""
    known = type(tokenizer).model_fields
    return [key for key in places if key not in PLACES or key not in known]


def _file_problems(tokenizer: TokenizerMethod, recorded: Mapping[str, str]) -> Iterator[str]:
    paths = tokenizer.files().values()
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        yield from (f"{path}: no such file" for path in missing)
        return
    found = {sha256(path) for path in paths}
    for name, digest in recorded.items():
        if digest not in found:
            yield f"the {name} of the training (sha256 {digest}) is not among them"


def write_recipe(
    folder: str | Path,
    specs: Iterable[Mapping[str, Any]],
    inputs: list[str],
    selection: str | Path | None,
    speech_tokenizer: str | Path | None,
) -> None:
    """Put a recipe into a model folder, with copies of the files that it needs.

    Parameters
    ----------
    specs, inputs
        As `Recipe.from_specs` takes them.
    selection, speech_tokenizer
        The selection.json behind the audio tokens and the file of a speech tokenizer that was
        learned, where there are such.
    """
    for source, name in ((selection, SELECTION), (speech_tokenizer, SPEECH_TOKENIZER)):
        if source:
            with written_whole(Path(folder, name)) as temporary:
                shutil.copyfile(source, temporary)
    recipe = Recipe.from_specs(specs, inputs)
    write_json(Path(folder, RECIPE), recipe.model_dump(mode="json"))
