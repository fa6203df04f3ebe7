"""Text as it is compared when one is looked for in another: without case, without regard to how it was typed.

Both sides are brought to the same form, NFKC with case folded (RFC 5051 asks for about that, RFC 5255 §4.5 for that):
ü is one character or two, ﬁ is fi, full-width letters are letters.
"""

import re
import unicodedata

# Python sorts the marks behind a letter in a time that grows with the square of their number, so no more than this is
# brought to a normal form at once. A run ends before an ASCII character, with which nothing before it joins; where
# there is none for long, it is cut where no mark of Latin, kana or Hangul follows.
_RUN = re.compile(r".{1,120}[^\x00-\x7f]{0,50}[\u0300-\u036f\u1160-\u11ff\u3099\u309a\uff9e\uff9f]{0,30}", re.DOTALL)
_BLESSING = unicodedata.normalize("NFKC", "\ufdfa")
_BLANKS = re.compile(r"[ \t]{2,}|\t")
# How far from its end a piece of text is looked through for a character before which it can be cut.
_CUT_CHARACTERS = 1_000
_LAST_ASCII = re.compile(r"[\x00-\x7f][^\x00-\x7f]*+\Z")


def folded(text: str) -> str:
    """Return the text in the form in which it is compared."""
    if text.isascii():
        return text.lower()
    text = compatible(text)
    without_case = text.casefold()
    return text if without_case == text else compatible(without_case)


def folded_field(text: str) -> str:
    """The same of header fields: how much white space stands between words was up to who folded them (RFC 5322
    §2.2.3)."""
    return with_single_blanks(folded(text))


def with_single_blanks(text: str) -> str:
    """Return a field's text with one space for each run of white space."""
    return _BLANKS.sub(" ", text)


def compatible(text: str) -> str:
    """Return the text in NFKC, in linear time whatever marks are heaped up in it."""
    # Without these two, which whole texts are full of, most have the form already. The third becomes eighteen
    # characters, so that to normalize a text of nothing else takes five times as long as any other.
    text = text.replace("\u00a0", " ").replace("\u2026", "...").replace("\ufdfa", _BLESSING)
    return text if unicodedata.is_normalized("NFKC", text) else _RUN.sub(_normalized, text)


class PieceFolder:
    """Folds a text that comes in pieces: what may join with what comes next is kept back till then."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, piece: str) -> str:
        """Return what is folded of the text by now and was not returned before."""
        text = self._rest + piece
        if text[-1:].isascii():
            cut = max(0, len(text) - 1)
        else:
            found = _LAST_ASCII.search(text, max(0, len(text) - _CUT_CHARACTERS))
            cut = found.start() if found else len(text)
        self._rest = text[cut:]
        return folded(text[:cut])

    def end(self) -> str:
        """Return what was kept back."""
        return folded(self._rest)


def _normalized(run: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", run[0])
