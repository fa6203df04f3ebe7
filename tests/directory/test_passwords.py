"""What counts as the same password (RFC 8265 §4.2), what can be none, and hashes made before there was one form."""

import base64
import io
import sys
import unicodedata
from urllib.parse import quote

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, make_password
from django.core.management import CommandError, call_command

from mailsuite.access import authentication
from mailsuite.access.opaque_string import disallowed_in, opaque_string
from mailsuite.access.password_hasher import LONGEST_PASSWORD, MOST_PASSWORD_OCTETS, Argon2idHasher
from mailsuite.directory.models import Mailbox, User
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.portal.forms import SignInForm
from mailsuite.protocol.sasl import PlainExchange, decode_response
from mailsuite.provisioning import services
from retrieval.imap.context import ImapLimits
from retrieval.pop3.context import Pop3Limits

NFC = "Müller-Straße in Zürich"
NFD = unicodedata.normalize("NFD", NFC)
HASH = "$6$abcdefgh$FzXHoZ3XhVnK8YrYzWfKfBqfT0vAq0iJjJ2v8Jvz0aW7G8q3kqB5Y1wLZ1y6xkE1R7mXrQpLkq0uO0l1hZ1f0."


def opens(password, protocol="imap", name="ann@example.org"):
    authentication.forget_logins()
    return authentication.authenticate(name, password, protocol=protocol, client_address="192.0.2.1").succeeded


@pytest.fixture
def ann(domain):
    services.add_mailbox("ann@example.org", NFC)
    return User.objects.get(email="ann@example.org")


@pytest.mark.parametrize(
    ("typed", "compared"),
    [
        # RFC 8265 §4.3, examples 12 to 15.
        ("correct horse battery staple", "correct horse battery staple"),
        ("Correct Horse Battery Staple", "Correct Horse Battery Staple"),
        ("πßå", "πßå"),
        ("Jack of ♦s", "Jack of ♦s"),
        ("foo\u1680bar", "foo bar"),
        ("a\u00a0b\u3000c\u2009d\u202fe", "a b c d e"),
        (NFD, NFC),
        ("\u212b\u2126", "\u00c5\u03a9"),
        ("ﬁve ①", "ﬁve ①"),  # NFC, not NFKC: RFC 8265 maps no compatibility characters
        ("\u1112\u1161\u11ab", "\ud55c"),
        ("", ""),
    ],
)
def test_the_form_that_is_compared(typed, compared):
    assert opaque_string(typed) == compared == opaque_string(compared)


@pytest.mark.parametrize(
    "character", "\t\n\0\x7f\x85\xad\u200b\u2028\u202e\u2060\ufeff\ufe0f\u3164\u115f\ue000\uffff\u0378\u0640\ud800"
)
def test_what_nobody_sees_can_not_stand_in_a_password(character):
    assert disallowed_in(f"correct {character}horse battery") == character
    with pytest.raises(ChangeRefused, match=rf"\(U\+{ord(character):04X}\), .* leave it out"):
        services.hash_password(f"correct {character}horse battery", weak_password_ok=True)


@pytest.mark.parametrize(
    "password", [NFC, NFD, "می‌خواهم بدانم", "пароль из слов", "비밀번호는 길다", "🐎🔋 staple", "l·l ʹ ー"]
)
def test_what_people_write_can(password):
    assert disallowed_in(password) == ""


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp", "web"])
def test_every_form_opens_by_every_protocol(ann, protocol):
    assert opens(NFC, protocol) and opens(NFD, protocol) and opens(NFD.replace(" ", "\u00a0"), protocol)
    assert not opens(NFC.lower(), protocol)


@pytest.mark.parametrize("raw", [NFD, "correct\u00a0horse battery", "zero\u200bwidth horse"])
def test_hashes_of_what_was_typed_stay_good(ann, raw):
    """They were made before there was one form, and nobody is told: the row stays, and with it sessions of the web."""
    before = Argon2PasswordHasher.encode(Argon2idHasher(), raw, "salt" * 6)
    User.objects.filter(pk=ann.pk).update(password=before)
    touch_directory()
    assert opens(raw) and opens(raw, "web") and not opens("correct horse")
    assert User.objects.get(pk=ann.pk).password == before


def test_wrong_passwords_cost_the_same_whoever_the_name_is(ann, monkeypatch):
    verify, hashed = Argon2PasswordHasher.verify, []
    monkeypatch.setattr(
        Argon2PasswordHasher, "verify", lambda self, *given: hashed.append(given[0]) or verify(self, *given)
    )
    for name in ("ann@example.org", "nobody@example.org"):
        for password, count in (("wrong horse", 1), ("wröng horse", 1), (NFD + "!", 2)):
            hashed.clear()
            assert not opens(password, name=name)
            assert len(hashed) == count


def test_every_way_to_set_a_password_takes_the_form(domain, administrator, monkeypatch):
    services.add_mailbox("ann@example.org", "another long one")
    services.set_password("ann@example.org", NFD)
    assert opens(NFC)
    administrator.set_password(NFD)
    administrator.save()
    assert opens(NFC, "web", "admin@localhost") and administrator.check_password(NFC)
    assert check_password(NFC, make_password(NFD))


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "cp1252"])
def test_a_form_of_an_old_browser_signs_in(ann, client, charset):
    body = b"username=ann%40example.org&password=" + quote(NFC.encode(charset)).encode()
    answer = client.post("/sign-in", body, content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer["Location"]) == (302, "/")


@pytest.mark.parametrize(
    "password",
    [
        "{SHA512-CRYPT}" + HASH,
        HASH,
        "{BLF-CRYPT}$2y$05$qs2NUkFFZ7hQWkyqlIoeSuPh0ndYvqbQhnTr0mZgvVQmSDqyRX5W6",
        "$2b$12$qs2NUkFFZ7hQWkyqlIoeSuPh0ndYvqbQhnTr0mZgvVQmSDqyRX5W6",
        "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b7NWhOhJgBl/2l1",
        "{SSHA256.b64}Mm5yd2VsbG8gd29ybGQgaG93IGFyZSB5b3UgdG9kYXk=",
        "{ssha}Nq8aB5mVkGx0iQ2v7L3wq1Wf8tYzR4uP",
        "{CRYPT}$1$3azHgidD$SrJPt7B.9rekpmwJwtON31",
        "{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69",
        "$1$3azHgidD$SrJPt7B.9rekpmwJwtON31",
        "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC",
        "$5$rounds=5000$usesomesillystri$KqJWpanXZHKq2BOB43TSaYhEWsQ1Lr5QNyPCDH/Tp.6",
        "pbkdf2_sha256$870000$sW2jY5mQ7vR1$Zb3kP0eJ8wQ9uXnT5cV1mL6yA4sD7fG2hK0oI3pE8rU=",
        make_password("some password"),
    ],
)
def test_a_hash_is_no_password(domain, monkeypatch, tmp_path, password):
    with pytest.raises(ChangeRefused, match="the hash of a password.*--must-change"):
        services.add_mailbox("ann@example.org", password, weak_password_ok=True)
    (tmp_path / "people.csv").write_text(f'h1@example.org,"{password}",1G,Hash\n')
    with pytest.raises(CommandError, match="line 1: That is the hash"):
        call_command("mailbox", "import", str(tmp_path / "people.csv"), "--weak-password-ok")
    assert not Mailbox.objects.exists()


@pytest.mark.parametrize(
    "password", ["$6 for a horse", "{horse} battery $1$", "d41d8cd98f00b204e9800998ecf8427e", "$1$2$3"]
)
def test_what_only_looks_like_one_is(domain, password):
    services.add_mailbox("ann@example.org", password, weak_password_ok=True)
    assert opens(password)


@pytest.mark.parametrize(
    ("line", "password"),
    [
        (" ann@example.org , correct horse battery 18 , 1G , Name", "correct horse battery 18"),
        ("ann@example.org,\tcorrect horse battery 18\t", "correct horse battery 18"),
        ('ann@example.org, "  correct horse battery 18 ",1G', "correct horse battery 18"),
        ("ann@example.org,{PLAIN}correct horse battery 18", "correct horse battery 18"),
        ("ann@example.org,correct  horse battery", "correct  horse battery"),
    ],
)
def test_blanks_around_an_imported_field_do_not_count(domain, tmp_path, line, password):
    for _ in range(2):  # a second import passes over what is there
        (tmp_path / "people.csv").write_text(f"{line}\n")
        call_command("mailbox", "import", str(tmp_path / "people.csv"), stdout=io.StringIO())
    assert opens(password)


def test_a_password_piped_in_an_old_charset(ann, monkeypatch):
    octets = io.BytesIO("Straße und Hof 7\n".encode("latin-1"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(octets, "utf-8", errors="surrogateescape"))
    call_command("mailbox", "password", "ann@example.org", "--password-stdin", stdout=io.StringIO())
    assert opens("Straße und Hof 7")


def test_one_wrong_password_written_in_two_ways_is_one_guess(ann, monkeypatch):
    counted = []
    monkeypatch.setattr(authentication.throttle, "record_failure", lambda *_: counted.append(1) or 0.0)
    for form in ("NFC", "NFD", "NFC"):
        assert not opens(unicodedata.normalize(form, "Größe: falsch"))
    assert len(counted) == 1


def test_what_may_be_set_can_be_sent_by_every_protocol(domain):
    """Each letter apart from its accents is three times as long where it is Korean."""
    longest = "\ud55c" * (MOST_PASSWORD_OCTETS // 3)
    services.add_mailbox("ann@example.org", longest)
    typed = unicodedata.normalize("NFD", longest).encode()
    message = base64.b64encode(b"\0".join((b"a" * 320, b"a" * 320, typed)))
    assert PlainExchange().step(decode_response(message)).password == typed.decode()
    assert len(b"PASS " + typed) + 2 <= Pop3Limits().line_octets
    assert len(typed) <= ImapLimits().login_literal_octets
    assert opens(typed.decode())
    assert SignInForm.base_fields["password"].max_length >= len(typed.decode())


def test_long_passwords_of_earlier_days_stay_good(ann):
    User.objects.filter(pk=ann.pk).update(password=make_password("ü" * LONGEST_PASSWORD))
    touch_directory()
    assert opens("u\u0308" * LONGEST_PASSWORD) and not opens("ü" * (LONGEST_PASSWORD + 1))
    with pytest.raises(ChangeRefused, match="longer than 500 octets"):
        services.set_password("ann@example.org", "ü" * LONGEST_PASSWORD)
