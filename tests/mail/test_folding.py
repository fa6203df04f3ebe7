"""Text as it is compared: what a person takes for the same is the same, at bounded cost."""

import unicodedata

import pytest

from mailsuite.mail import folding
from mailsuite.mail.folding import PieceFolder, compatible, folded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("müller", "MU\u0308LLER"),
        ("Grüße", "GRÜSSE"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("ﬁle", "FILE"),
        ("ｆｕｌｌ １２", "full 12"),
        ("ﾊﾟﾋﾟ", "パピ"),
        ("a\u00a0b", "A b"),
        ("한글", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
        ("①", "1"),
        ("\u0344", "\u0308\u0301"),
        ("plain", "PLAIN"),
    ],
)
def test_folded_alike(one, other):
    assert folded(one) == folded(other)
    for text in (one, other):
        assert folded(folded(text)) == folded(text)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
@pytest.mark.parametrize(
    "text", ["Ein MU\u0308LLER, zwei mu\u0308ller\r\n" * 30, "ご" * 90 + "か\u3099" * 90, "ẛ̣\u0323" * 50]
)
def test_a_text_in_pieces_is_folded_as_a_whole(size, text):
    folder = PieceFolder()
    pieces = [folder.feed(text[at : at + size]) for at in range(0, len(text), size)]
    if text[0] == "E" or size == 1_000:  # without an ASCII character a piece is cut where it ends
        assert "".join([*pieces, folder.end()]) == folded(text)
    assert len(folder.end()) <= 2_000


def test_a_text_of_what_becomes_eighteen_characters_is_not_normalized(monkeypatch):
    expected = unicodedata.normalize("NFKC", "\ufdfa") * 5_000
    monkeypatch.setattr(folding, "_RUN", None)
    assert folded("\ufdfa" * 5_000) == expected


@pytest.mark.parametrize(
    "text", ["a" + "\u0300\u0323" * 20_000, "\u0300" * 20_000 + "\u0323" * 20_000, "か\u3099" * 9_000]
)
def test_heaps_of_marks_are_sorted_in_short_runs(monkeypatch, text):
    """Python's own takes seconds for forty thousand, with the interpreter's lock held."""
    lengths = []

    def noting(form, run, normalize=unicodedata.normalize):
        lengths.append(len(run))
        return normalize(form, run)

    monkeypatch.setattr(folding.unicodedata, "normalize", noting)
    assert compatible(text)
    assert max(lengths) <= 200 and sum(lengths) <= len(text)
