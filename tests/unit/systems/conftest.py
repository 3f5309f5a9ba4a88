"""What tests of systems that hear share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def rows():
    # Imported here, since it loads torch, which tests of light systems do without.
    from tests.unit.spoken_words import made_rows

    return made_rows(48)


@pytest.fixture(scope="session")
def frames(rows):
    from tests.unit.spoken_words import made_frames

    return made_frames(rows)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory, rows, frames):
    from tests.unit.spoken_words import made_inputs

    return made_inputs(tmp_path_factory.mktemp("inputs"), rows, frames)


@pytest.fixture
def changed(monkeypatch):
    """The names of the parameters that each training has changed, by its title."""
    import torch

    from speechlasso.language_model import audio_answers, speech_curriculum

    found, real = {}, speech_curriculum.train

    def observed(reader, task, settings, **options):
        before = {name: p.detach().cpu().clone() for name, p in reader.named_parameters()}
        log = real(reader, task, settings, **options)
        after = dict(reader.named_parameters())
        assert before.keys() == after.keys()
        found[options["title"]] = {n for n in after if not torch.equal(before[n], after[n].cpu())}
        return log

    for module in (speech_curriculum, audio_answers):
        monkeypatch.setattr(module, "train", observed)
    return found
