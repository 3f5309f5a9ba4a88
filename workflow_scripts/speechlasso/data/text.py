"""One form for each text: accents typed as one character or as two are the same letter."""

from __future__ import annotations

import unicodedata


def normalised(text: str) -> str:
    """The text in Unicode's composed form (NFC), without blanks around it.

    Everything that enters from a table or a command line goes through this: words, labels, groups
    and ids that look alike then are alike.
    """
    return unicodedata.normalize("NFC", text).strip()
