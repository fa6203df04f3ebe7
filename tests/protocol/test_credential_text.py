"""One reading of names and passwords for all protocols, whatever charset a client's system has."""

import pytest

from mailsuite.protocol.credential_text import credential_text
from mailsuite.protocol.sasl import LoginExchange, PlainExchange
from retrieval.pop3.dialog import split_line

NAME = "jörg@example.org"
PASSWORD = "ß1234567890"


@pytest.mark.parametrize("text", ["", "secret", PASSWORD, "пароль", "😀"])
def test_utf_8_comes_first(text):
    assert credential_text(text.encode()) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [(b"\xdf1234567890", PASSWORD), (b"\x80uro", "€uro"), (b"\x81\xff", "\x81ÿ"), (b"p\xe4ss", "päss")],
)
def test_what_is_no_utf_8_is_what_old_programs_send(octets, text):
    assert credential_text(octets) == text


@pytest.mark.parametrize("name", [NAME.encode(), NAME.encode("latin-1")])
@pytest.mark.parametrize("password", [PASSWORD.encode(), PASSWORD.encode("latin-1")])
def test_all_protocols_read_alike(name, password):
    plain = PlainExchange().step(b"\0" + name + b"\0" + password)
    assert (plain.authentication_identity, plain.password) == (NAME, PASSWORD)
    login = LoginExchange()
    login.step(name)
    last = login.step(password)
    assert (last.authentication_identity, last.password) == (NAME, PASSWORD)
    assert (split_line(b"USER " + name), split_line(b"pass " + password)) == (("USER", NAME), ("PASS", PASSWORD))
