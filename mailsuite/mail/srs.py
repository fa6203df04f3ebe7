"""Sender rewriting: forwarded mail gets a reverse-path of ours, so that SPF passes and bounces find their way back.

    SRS0=hash=TT=domain=local@ours        we forward for local@domain
    SRS1=hash=first==rest@ours            we forward what `first` forwarded as SRS0=rest@first, or others as SRS1

TT is the day, modulo 1024, as two base32 digits. The hash keeps strangers from bouncing through us; it is compared
without case, since some hosts lower-case what they answer. Null and local senders are the caller's business.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import date

from mailsuite.mail.address import LOCAL_PART_OCTETS, Address, AddressError, format_address, parse_path

LIFE_DAYS = 21
_HASH_CHARACTERS = 8
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_EPOCH = date(1970, 1, 1)
_SEPARATORS = "=+-"


class SrsError(ValueError):
    """The address is no SRS address of ours, or its time is over."""


class SrsExpired(SrsError):
    """It was ours, but its time is over."""


class SrsTooLong(SrsError):
    """The rewritten local-part would not fit into RFC 5321 §4.5.3.1.1's 64 octets."""


def is_srs(local_part: str) -> bool:
    """Return whether the local-part has the shape of a rewritten sender."""
    return local_part[:4].upper() in ("SRS0", "SRS1") and local_part[4:5] in _SEPARATORS and len(local_part) > 5


def forward(sender: Address, alias_domain: str, secrets: Sequence[bytes], today: date) -> Address:
    """Return the reverse-path to forward with; hashes are made with the first secret. Raises SrsTooLong."""
    tag = sender.local_part[:4].upper() if is_srs(sender.local_part) else ""
    if tag == "SRS0":
        local_part = _srs1(sender.domain, sender.local_part[4:], secrets[0])
    elif tag == "SRS1":
        try:
            _, first, rest = _split_srs1(sender.local_part)
        except SrsError:
            local_part = _srs0(sender, secrets[0], today)
        else:
            local_part = _srs1(first, rest, secrets[0])
    else:
        local_part = _srs0(sender, secrets[0], today)
    if len(local_part.encode()) > LOCAL_PART_OCTETS:
        raise SrsTooLong(f"the rewritten sender is longer than {LOCAL_PART_OCTETS} octets")
    return Address(local_part, alias_domain)


def reverse(address: Address, secrets: Sequence[bytes], today: date) -> Address:
    """Return where a bounce to one of our rewritten senders goes; any of the secrets may have made it. Raises
    SrsError."""
    local_part = address.local_part
    if not is_srs(local_part):
        raise SrsError("not a rewritten sender")
    if local_part[:4].upper() == "SRS1":
        given, first, rest = _split_srs1(local_part)
        _verify(given, first + rest, secrets)
        return _address(f"SRS0{rest}", first)
    fields = local_part[5:].split("=", 3)
    if len(fields) < 4:
        raise SrsError("a rewritten sender with parts missing")
    given, day, domain, original = fields
    _verify(given, day + domain + original, secrets)
    _verify_day(day, today)
    return _address(original, domain)


def _srs0(sender: Address, secret: bytes, today: date) -> str:
    day = (today - _EPOCH).days % 1024
    stamp = _BASE32[day >> 5] + _BASE32[day & 31]
    made = _hash(stamp + sender.domain + sender.local_part, secret)
    return f"SRS0={made}={stamp}={sender.domain}={sender.local_part}"


def _srs1(first: str, rest: str, secret: bytes) -> str:
    """`rest` begins with the separator that followed SRS0 at its first forwarder."""
    return f"SRS1={_hash(first + rest, secret)}={first}={rest}"


def _split_srs1(local_part: str) -> tuple[str, str, str]:
    given, _, after = local_part[5:].partition("=")
    first, _, rest = after.partition("=")
    if not first or rest[:1] not in _SEPARATORS or len(rest) < 2:
        raise SrsError("a rewritten sender with parts missing")
    return given, first, rest


def _hash(text: str, secret: bytes) -> str:
    digest = hmac.digest(secret, text.lower().encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest)[:_HASH_CHARACTERS].decode("ascii")


def _verify(given: str, text: str, secrets: Sequence[bytes]) -> None:
    # Earlier senders used the other base64 alphabet, and hosts between may have lower-cased either
    folded = given.replace("+", "-").replace("/", "_").lower().encode()
    matches = [hmac.compare_digest(folded, _hash(text, secret).lower().encode()) for secret in secrets]
    if not any(matches):
        raise SrsError("a rewritten sender that is not ours")


def _verify_day(stamp: str, today: date) -> None:
    try:
        high, low = (_BASE32.index(digit) for digit in stamp.upper())
    except ValueError:
        raise SrsError("a rewritten sender without a day") from None
    # One day of the future is let pass: the clocks of a site's hosts may straddle midnight
    age = ((today - _EPOCH).days - (high << 5 | low) + 1) % 1024 - 1
    if age > LIFE_DAYS:
        raise SrsExpired(f"a rewritten sender older than {LIFE_DAYS} days")


def _address(local_part: str, domain: str) -> Address:
    try:
        address = parse_path(f"<{format_address(local_part, domain)}>").address
    except AddressError as error:
        raise SrsError(str(error)) from error
    if address is None or not address.domain:
        raise SrsError("a rewritten sender without an address")
    return address
