"""SASL PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login) as SMTP carries them (RFC 4954 §4)."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Literal

from mailsuite.mail import reply as replies
from mailsuite.mail.address import is_same_mailbox
from mailsuite.mail.reply import Reply
from mailsuite.protocol.credential_text import credential_text

Mechanism = Literal["PLAIN", "LOGIN"]
MAX_FIELDS_OCTETS = 2304


class SaslError(Exception):
    """The exchange failed or was given up; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login to be checked. Neither ever stands in a log."""

    mechanism: Mechanism
    name: str
    password: str = field(repr=False)


class SaslExchange:
    """One AUTH command's back and forth: `challenge` to send, `response` to take until it returns credentials."""

    def __init__(self, mechanism: Mechanism) -> None:
        self._mechanism = mechanism
        self._name: str | None = None

    @classmethod
    def of(cls, name: str) -> "SaslExchange | None":
        """Return the exchange of the mechanism named so, in whatever case; None when it isn't offered."""
        match name.upper():
            case "PLAIN":
                return cls("PLAIN")
            case "LOGIN":
                return cls("LOGIN")
        return None

    def challenge(self) -> bytes:
        """Return the next challenge in base64. Some clients know LOGIN by these very words."""
        if self._mechanism == "PLAIN":
            return b""
        return base64.b64encode(b"Username:" if self._name is None else b"Password:")

    def response(self, line: bytes) -> Credentials | None:
        """Return the credentials, or None when the next challenge is due. Raises SaslError."""
        octets = line.strip(b" \t")
        if octets == b"*":
            raise SaslError(replies.AUTH_CANCELLED)
        decoded = _decode(b"" if octets == b"=" else octets)
        if self._mechanism == "PLAIN":
            return _plain(decoded)
        text = credential_text(decoded)
        if self._name is None:
            self._name = text
            return None
        return Credentials("LOGIN", self._name, text)


def _plain(message: bytes) -> Credentials:
    """message = [authzid] UTF8NUL authcid UTF8NUL passwd"""
    parts = [credential_text(part) for part in message.split(b"\0")]
    if len(parts) != 3 or not parts[1]:
        raise SaslError(replies.AUTH_MALFORMED)
    authorization, name, password = parts
    if authorization and not is_same_mailbox(authorization, name):
        # Acting as somebody else is no part of this service.
        raise SaslError(replies.AUTH_FAILED)
    return Credentials("PLAIN", name, password)


def _decode(octets: bytes) -> bytes:
    try:
        decoded = base64.b64decode(octets, validate=True)
    except binascii.Error:
        raise SaslError(replies.AUTH_MALFORMED) from None
    if len(decoded) > MAX_FIELDS_OCTETS:
        raise SaslError(replies.AUTH_MALFORMED)
    return decoded
