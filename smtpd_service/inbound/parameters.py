"""MAIL and RCPT read into the envelope: paths, and ESMTP parameters (RFC 1870, RFC 6152, RFC 6531, RFC 4954)."""

from dataclasses import dataclass

from mailsuite.mail import reply as replies
from mailsuite.mail.address import Path, parse_path_and_parameters
from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from mailsuite.mail.reply import Reply

SIZE_DIGITS = 20  # RFC 1870 §4


class ParameterError(Exception):
    """The peer broke a rule; `reply` says which."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL: the envelope, and its reverse-path as it was parsed. `size_octets` is 0 where the client did not say."""

    envelope: Envelope
    reverse_path: Path
    size_octets: int = 0


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT: a recipient, and its path as it was parsed, which is never null, but may be a bare `<postmaster>`."""

    recipient: EnvelopeRecipient
    forward_path: Path


def read_mail(argument: str, *, size_limit: int) -> Mail:
    """Return what follows `MAIL FROM:`. Raises ParameterError, AddressError."""
    path, parameters = parse_path_and_parameters(argument)
    if path.is_bare_postmaster:
        raise ParameterError(replies.BAD_SENDER_ADDRESS)
    size, eight_bit, smtputf8 = 0, False, False
    for keyword, value in parameters.items():
        if keyword == "SIZE":
            size = _read_size(value, size_limit)
        elif keyword == "BODY":
            eight_bit = _read_body(value)
        elif keyword == "SMTPUTF8" and value is None:
            smtputf8 = True
        elif keyword != "AUTH" or value is None:  # RFC 4954 §5: who vouched for it elsewhere is nothing to us
            raise ParameterError(replies.PARAMETER_NOT_IMPLEMENTED)
    _demand_smtputf8(path, smtputf8=smtputf8)
    return Mail(Envelope(str(path), smtputf8=smtputf8, eight_bit=eight_bit), path, size)


def read_rcpt(argument: str, *, smtputf8: bool) -> Rcpt:
    """Return what follows `RCPT TO:`. Raises ParameterError, AddressError."""
    path, parameters = parse_path_and_parameters(argument)
    if path.is_null:
        raise ParameterError(replies.BAD_RECIPIENT_ADDRESS)
    if parameters:
        raise ParameterError(replies.PARAMETER_NOT_IMPLEMENTED)
    _demand_smtputf8(path, smtputf8=smtputf8)
    return Rcpt(EnvelopeRecipient(str(path)), path)


def _read_size(value: str | None, size_limit: int) -> int:
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > SIZE_DIGITS:
        raise ParameterError(replies.SYNTAX_ERROR.with_text("SIZE is malformed, say SIZE=number"))
    size = int(value)
    if size > size_limit:
        raise ParameterError(replies.MESSAGE_TOO_BIG)
    return size


def _read_body(value: str | None) -> bool:
    body = (value or "").upper()
    if body not in ("7BIT", "8BITMIME"):
        raise ParameterError(replies.SYNTAX_ERROR.with_text("BODY must be 7BIT or 8BITMIME"))
    return body == "8BITMIME"


def _demand_smtputf8(path: Path, *, smtputf8: bool) -> None:
    """RFC 6531 §3.4: an address that is not ASCII comes with SMTPUTF8 only."""
    if not smtputf8 and path.address is not None and path.address.is_internationalized:
        raise ParameterError(replies.NEEDS_SMTPUTF8)
