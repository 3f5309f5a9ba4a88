"""The classic baseline of speech emotion recognition: functionals and a linear classifier."""

from __future__ import annotations

from typing import Any, Literal

from speechlasso.systems.linear_of_features import LinearOfFeatures


class MFCCLinear(LinearOfFeatures):
    system: Literal["mfcc_linear"]
    """Linear classifier of statistics over time of each utterance's cepstra, pitch and energy, and
    of words."""
    classifier: Literal["logistic_regression", "linear_svm"] = "linear_svm"
    """linear_svm has no probabilities of its own: its margins stand in for their logarithms."""

    def frames(self, artifacts: Any) -> Any:
        return artifacts.acoustic_frames("spectral")
