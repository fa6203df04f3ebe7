"""Records as people are shown them."""

import pytest

from mailsuite.resolver.answers import MAX_VALUE_CHARACTERS, Mx, Tlsa, as_text

NO_TEXT = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Mx(10, "mx.a.test"), "10 mx.a.test."),
        (Tlsa(3, 1, 1, b"\x00\xff"), "3 1 1 00ff"),
        ("192.0.2.1", "192.0.2.1"),
        (b"v=spf1 -all", "v=spf1 -all"),
        (b"caf\xe9\x07", f"caf{NO_TEXT}{NO_TEXT}"),
        (b"x" * 5000, "x" * (MAX_VALUE_CHARACTERS - 1) + "…"),
    ],
)
def test_a_record_as_text(value, text):
    assert as_text(value) == text
