"""Rules that people write: checked and kept, and found again for a message."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_network

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from mailsuite.directory import parsing
from mailsuite.directory.cache import CACHE
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import Address, AddressError, normalize_domain, parse_address, split_subaddress
from mailsuite.mail.client_network import Network, client_ip
from mailsuite.screening.models import Rule
from mailsuite.screening.values import SenderFacts
from mailsuite.verdict.facts import RuleHit

WIDEST = {4: 8, 6: 16}
KEEP_EXPIRED = timedelta(days=30)
_FRONT = {"sender-domain": "everybody at ", "network": "hosts in ", "recipient": "mail to "}


def save_rule(rule: Rule) -> None:
    """Keeps a new or changed rule, its value brought to one form. Raises ChangeRefused for what can't be one."""
    rule.value = checked_value(rule.subject, rule.value)
    if rule.domain_id and rule.mailbox_id:
        raise ChangeRefused("A rule is for a domain or for a mailbox: leave one of them empty.")
    if rule.expires_at and rule.expires_at <= timezone.now():
        raise ChangeRefused("The rule would have expired already: name a later time, or none.")
    if rule.subject == Rule.Subject.RECIPIENT:
        _check_recipient(rule)
    same = Rule.objects.filter(_within(rule.domain_id, rule.mailbox_id), subject=rule.subject, value=rule.value)
    if other := same.exclude(pk=rule.pk).first():
        raise ChangeRefused(f"There is a rule for {rule.value} here already: {other}. Change that one.")
    with transaction.atomic():
        rule.save()
        touch_directory()


def remove_rules(ids: Sequence[int]) -> int:
    """How many were removed."""
    with transaction.atomic():
        count = Rule.objects.filter(pk__in=ids).delete()[1].get("screening.Rule", 0)
        touch_directory()
    return count


def forget_expired(now: datetime) -> int:
    """Deletes rules that expired KEEP_EXPIRED ago; returns how many. Until then the admin shows that they have."""
    return Rule.objects.filter(expires_at__lt=now - KEEP_EXPIRED).delete()[0]


def checked_value(subject: str, text: str) -> str:
    """The value in the one form in which it is compared. Raises ChangeRefused."""
    text = text.strip()
    match subject:
        case Rule.Subject.NETWORK:
            return str(_network(text))
        case Rule.Subject.SENDER_DOMAIN:
            return parsing.domain_name(text.removeprefix("*.").lstrip("@."))
    if "@" not in text.strip("@"):
        raise ChangeRefused(
            f"{text!r} is no address: write one such as ann@example.org, or look at the domain instead."
        )
    return parsing.address(text).key


def looks_at(subject: str, value: str) -> str:
    """What a rule looks at, for people."""
    return f"{_FRONT.get(subject, '')}{value}"


def _network(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ChangeRefused(f"{text!r} is no address or network: write 192.0.2.1 or 192.0.2.0/24.") from None
    if network.prefixlen < WIDEST[network.version]:
        raise ChangeRefused(f"{network} is too much of the internet: the prefix starts at /{WIDEST[network.version]}.")
    return network


def _check_recipient(rule: Rule) -> None:
    domain = parsing.live_domain(rule.value.rpartition("@")[2])
    home = rule.domain_id or (rule.mailbox.domain_id if rule.mailbox else None)
    if home and home not in (domain.pk, domain.alias_of_id):
        raise ChangeRefused(f"{rule.value} is no address of {rule.domain or rule.mailbox}.")


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule as it is remembered."""

    action: str
    subject: str
    value: str
    believes_unproven: bool
    expires_at: datetime | None

    def holds(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now

    def hit(self, scope: str) -> RuleHit:
        return RuleHit(self.action, scope, f"“{self.action} {looks_at(self.subject, self.value)}”")


class RuleBook:
    """The rules of one scope. Of several that fit, the one that says most about the sender holds: the address before
    the domain, a longer domain before a shorter, then the network, the narrowest first, then the recipient."""

    def __init__(self, scope: str, entries: Sequence[Entry]) -> None:
        self._scope = scope
        self._by_value = {(entry.subject, entry.value): entry for entry in entries}
        networks = [(ip_network(entry.value), entry) for entry in entries if entry.subject == "network"]
        self._networks = sorted(networks, key=lambda pair: -pair[0].prefixlen)

    def match(self, sender: SenderFacts, recipient: str, now: datetime) -> RuleHit | None:
        """Of several authors whoever fares worst counts: none is let in, or hides, behind another."""
        found = [self._by_identity(author, sender, now) for author in sender.authors or ("",)]
        for action in ("block", "junk", "allow"):
            hits = [entry for entry in found if entry and entry.action == action]
            if hits and (action != "allow" or len(hits) == len(found)):
                return hits[0].hit(self._scope)
        return self._by_network(sender.client_address, now) or self._by_recipient(recipient, now)

    def _by_identity(self, author: str, sender: SenderFacts, now: datetime) -> Entry | None:
        identities = [
            (_parsed(author), sender.is_author_authentic),
            (_parsed(sender.reverse_path), sender.is_reverse_path_authentic),
        ]
        proven = [(address, is_proven) for address, is_proven in identities if address]
        candidates = [(("sender", address.key), is_proven) for address, is_proven in proven]
        domains = [(name, is_proven) for address, is_proven in proven for name in _and_above(address.domain)]
        domains.sort(key=lambda pair: -pair[0].count("."))
        candidates += [(("sender-domain", name), is_proven) for name, is_proven in domains]
        for key, is_proven in candidates:
            entry = self._by_value.get(key)
            if entry and entry.holds(now) and (is_proven or entry.believes_unproven or entry.action != "allow"):
                return entry
        return None

    def _by_network(self, client_address: str, now: datetime) -> RuleHit | None:
        address = client_ip(client_address) if self._networks else None
        for network, entry in self._networks:
            if address and address in network and entry.holds(now):
                return entry.hit(self._scope)
        return None

    def _by_recipient(self, recipient: str, now: datetime) -> RuleHit | None:
        address = _parsed(recipient)
        if address is None:
            return None
        base = Address(split_subaddress(address.local_part)[0], address.domain)
        for one in (address, base):
            entry = self._by_value.get(("recipient", one.key))
            if entry and entry.holds(now):
                return entry.hit(self._scope)
        return None


def find_rule(
    sender: SenderFacts, recipient: str, *, mailbox_id: int | None, domain_id: int | None, now: datetime
) -> RuleHit | None:
    """The rule that fits: the mailbox's before its domain's before the site's."""
    with_rules = CACHE.get("screening-scopes", _scopes)
    for scope, row_id in (("mailbox", mailbox_id), ("domain", domain_id), ("site", None)):
        if (scope, row_id) in with_rules:
            book = CACHE.get(("screening-rules", scope, row_id), partial(_book, scope, row_id))
            if hit := book.match(sender, recipient, now):
                return hit
    return None


def _scopes() -> frozenset[tuple[str, int | None]]:
    """Who has rules: most mailboxes have none, and need no book."""
    rows = Rule.objects.using("reader").order_by().values_list("mailbox_id", "domain_id").distinct()
    return frozenset(
        ("mailbox", mailbox_id) if mailbox_id else ("domain", domain_id) if domain_id else ("site", None)
        for mailbox_id, domain_id in rows
    )


def _book(scope: str, row_id: int | None) -> RuleBook:
    within = _within(row_id if scope == "domain" else None, row_id if scope == "mailbox" else None)
    rows = Rule.objects.using("reader").filter(within)
    fields = ("action", "subject", "value", "believes_unproven", "expires_at")
    return RuleBook(scope, [Entry(*row) for row in rows.values_list(*fields)])


def _within(domain_id: int | None, mailbox_id: int | None) -> Q:
    """The rules of a domain, a mailbox or, without either, the site."""
    return Q(("domain_id", domain_id), ("mailbox_id", mailbox_id))


def _parsed(text: str) -> Address | None:
    """The address, also one that is longer than it may be, or whose domain no host may have: its domain counts."""
    local_part, _, domain = text.rpartition("@")
    try:
        return parse_address(text) if text else None
    except AddressError:
        pass
    try:
        return Address(local_part, normalize_domain(domain, allow_underscores=True))
    except AddressError:
        return None


def _and_above(domain: str) -> list[str]:
    """The domain and those it is below: a.b.example gives a.b.example, b.example and example."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(len(labels))]
