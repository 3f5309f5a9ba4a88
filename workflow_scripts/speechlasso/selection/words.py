"""Words of a text in any script, for bags of words.

scikit-learn's rule, two or more of `\\w` in a row, breaks words at combining marks (the accents of
decomposed letters, the vowels of many scripts), takes a sentence without blanks for one word, and
sees none in a single letter. Words here are the same in texts of Latin letters without marks (the
tests compare); otherwise

- a mark belongs to the letter before it, and letters and marks that can be composed are (NFC);
- in scripts that put no blanks between words (Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar)
  each letter with its marks is a word;
- a single letter is a word in scripts without capitals (Hangul, Devanagari, Hebrew, ...), but not
  in those with (Latin, Greek, Cyrillic, ...), where scikit-learn leaves it out as well.

Signs and emoji are no words.
"""

from __future__ import annotations

import regex

from speechlasso.data.text import normalised

_SPACELESS = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
# Marks, the joiners of Indic scripts and of Persian, and the sign that lengthens Japanese vowels.
_MARKS = r"[\p{M}\u200C\u200D\u30FC]*"
_WORD = regex.compile(
    rf"[{_SPACELESS}&&\p{{L}}]{_MARKS}"
    rf"|(?:[[\p{{L}}\p{{N}}_]--{_SPACELESS}--\u30FC]{_MARKS}){{2,}}"
    rf"|\p{{Lo}}{_MARKS}",
    regex.VERSION1,
)


def words(text: str) -> list[str]:
    """The words of a text, in their order and as they are written."""
    return _WORD.findall(normalised(text))
