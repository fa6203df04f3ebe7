"""What people type, brought to the directory's form or refused in words."""

import re
import unicodedata

from mailsuite.directory.models import Alias, Domain, Mailbox
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import PATH_OCTETS, Address, AddressError, parse_address, read_domain
from mailsuite.sizes import read_limit

LONGEST_LABEL = 200
# Controls, halves of characters, ends of lines and paragraphs.
_NO_LABEL = frozenset({"Cc", "Cs", "Zl", "Zp"})


def domain_name(text: str) -> str:
    """The A-label form of a domain's name."""
    try:
        name = read_domain(text)
    except AddressError as error:
        raise ChangeRefused(f"{text!r} can't be a domain. {error}.") from None
    if "." not in name and name != "localhost":
        raise ChangeRefused(f"{text!r} is no whole domain: write one such as example.org.")
    return name


def address(text: str) -> Address:
    """The address. One that fits into no path (RFC 5321 §4.5.3.1.3) would not fit into its column either."""
    try:
        parsed = parse_address(text.strip())
    except AddressError as error:
        raise ChangeRefused(f"{text!r} can't be an address. {error}.") from None
    if len(str(parsed).encode()) > PATH_OCTETS - 2:
        raise ChangeRefused(
            f"{text[:60]!r}… can't be an address. It is longer than {PATH_OCTETS - 2} octets: shorten it."
        )
    return parsed


def live_domain(name: str) -> Domain:
    """The hosted domain's row."""
    name = domain_name(name)
    domain = Domain.objects.filter(name=name).exclude(state=Domain.State.REMOVED).first()
    if domain is None:
        raise ChangeRefused(f"{name} is not hosted here. Add it first: manage.py domain add {name}")
    return domain


def own_domain(name: str) -> Domain:
    """The row of a hosted domain that may hold addresses: not another name of one."""
    domain = live_domain(name)
    if domain.alias_of is not None:
        raise ChangeRefused(f"{domain} is another name of {domain.alias_of}: add the address there.")
    return domain


def live_mailbox(text: str) -> Mailbox:
    """The row of a mailbox that was not removed."""
    mailbox = Mailbox.objects.filter(address_key=address(text).key).select_related("user", "domain").first()
    if mailbox is None or mailbox.state == Mailbox.State.REMOVED:
        raise ChangeRefused(f"There is no mailbox {text}. The list is: manage.py mailbox list")
    return mailbox


def live_alias(text: str) -> Alias:
    """The row of an alias that was not removed; what forwards a mailbox's mail is none here."""
    _, shown, key = alias(text)
    row = Alias.objects.filter(address_key=key).exclude(kind=Alias.Kind.FORWARD).select_related("domain").first()
    if row is None:
        raise ChangeRefused(f"There is no alias {shown}. The list is: manage.py alias list")
    return row


def alias(text: str) -> tuple[str, str, str]:
    """Kind of an alias, the text to show and the key to find it by."""
    local_part, at, domain_text = text.strip().rpartition("@")
    if not at:
        raise ChangeRefused(f"{text!r} has no @: write an address, @example.org or sales-*@example.org.")
    if not local_part or local_part == "*":
        shown = f"@{domain_name(domain_text)}"
        return Alias.Kind.CATCH_ALL, shown, shown
    # A * is legal in an address (RFC 5322 §3.2.3), but nobody means one.
    parsed = address(text)
    kind = Alias.Kind.PATTERN if "*" in parsed.local_part else Alias.Kind.ADDRESS
    if kind == Alias.Kind.PATTERN and not re.search(r"[^*]", parsed.local_part):
        raise ChangeRefused(f"{text!r} takes every address: write @{parsed.domain} for a catch-all.")
    return kind, str(parsed), parsed.key


def label(text: str, what: str) -> str:
    """What people call a mailbox or domain, on one line. `what` names it in the refusal."""
    if len(text) > LONGEST_LABEL:
        raise ChangeRefused(f"The {what} is longer than {LONGEST_LABEL} characters: shorten it.")
    if any(unicodedata.category(character) in _NO_LABEL for character in text):
        raise ChangeRefused(f"The {what} holds a control character, or goes on in another line: remove that.")
    return text


def quota(text: str) -> int:
    """Octets of `500M`, `1G`, `1.5G`, a plain number, or `none` for no limit (0)."""
    octets = read_limit(text)
    if octets is None:
        raise ChangeRefused(f"{text.strip()!r} is no quota: write one such as 500M or 2G, or none for no limit.")
    return octets
