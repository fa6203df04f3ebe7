"""SASL mechanisms that carry a password: PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login).

An exchange takes the client's responses in turn, decoded from base64 by `decode_response`, and answers each with the
next challenge or with credentials. The protocols do the framing: `+ ` and base64, and `*` for giving up.
"""

import binascii
from dataclasses import dataclass, field
from typing import Protocol

from mailsuite.mail.address import is_same_mailbox
from mailsuite.protocol.credential_text import credential_text

# RFC 4616 §2 gives each of PLAIN's three parts 255 octets; passwords of people and programs may be longer.
MAX_RESPONSE_OCTETS = 3072


class SaslError(Exception):
    """The client's response is malformed; the text says how, for people."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and password to check, neither of which stands in a log. `authorization_identity` is empty or whom the
    client wants to act as."""

    authentication_identity: str
    password: str = field(repr=False)
    authorization_identity: str = ""

    @property
    def acts_as_other(self) -> bool:
        """True when the client wants to be somebody else than whose password it has: nobody may here."""
        return bool(self.authorization_identity) and not is_same_mailbox(
            self.authorization_identity, self.authentication_identity
        )


class Exchange(Protocol):
    def step(self, response: bytes | None) -> bytes | Credentials:
        """The next challenge, or what to check. None begins an exchange without an initial response.

        Raises SaslError.
        """
        ...


class PlainExchange:
    """One response holds everything: authzid NUL authcid NUL password."""

    def step(self, response: bytes | None) -> bytes | Credentials:
        """An empty challenge, or what to check (Exchange). Raises SaslError."""
        if response is None:
            return b""
        authorization, authentication, password = _split_plain(response)
        return Credentials(authentication, password, authorization)


class LoginExchange:
    """Two prompts, whose words some clients compare."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._asked = False

    def step(self, response: bytes | None) -> bytes | Credentials:
        """The prompt that is next, or what to check (Exchange). Raises SaslError."""
        if response is None and not self._asked:
            self._asked = True
            return b"Username:"
        if self._name is None:
            self._name, self._asked = _text(response or b"", "the name"), True
            return b"Password:"
        return Credentials(self._name, _text(response or b"", "the password"))


EXCHANGES: dict[str, type[PlainExchange] | type[LoginExchange]] = {"PLAIN": PlainExchange, "LOGIN": LoginExchange}


def decode_response(line: bytes) -> bytes:
    """Return the octets of one base64 response; `=` alone is an empty one (RFC 4959 §3). Raises SaslError."""
    line = line.strip(b" \t")
    if line == b"=":
        return b""
    if len(line) > MAX_RESPONSE_OCTETS:
        raise SaslError("the response is too long")
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise SaslError("the response is not base64") from None


def _split_plain(message: bytes) -> tuple[str, str, str]:
    """Return the parts of PLAIN's message = [authzid] NUL authcid NUL passwd (RFC 4616 §2). Raises SaslError."""
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise SaslError("PLAIN takes an identity, a name and a password, parted by NUL")
    authorization, name, password = parts
    if not name or not password:
        raise SaslError("PLAIN takes a name and a password, neither of them empty")
    return _text(authorization, "the identity"), _text(name, "the name"), _text(password, "the password")


def _text(octets: bytes, what: str) -> str:
    if b"\0" in octets:
        raise SaslError(f"{what} holds a NUL")
    return credential_text(octets)
