"""What owners say for their own mailboxes: whose mail is always wanted, whose never is, how long strangers wait.

Owners name an address or a domain and nothing else, and an allow rule of theirs holds only where the sender is proven.
What an administrator wrote for the mailbox stands beside it and is theirs to remove.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from mailsuite.directory.models import Domain, Mailbox
from mailsuite.errors import ChangeRefused
from mailsuite.screening import services
from mailsuite.screening.models import Rule, SenderPause
from mailsuite.screening.rules import checked_value, looks_at, remove_rules, save_rule

MOST_RULES = 300


@dataclass(frozen=True, slots=True)
class OwnRule:
    """One rule of a mailbox. `action` is allow, junk or block; `about` what it looks at, for people."""

    rule_id: int
    action: str
    subject: str
    value: str
    note: str
    expires_at: datetime | None
    believes_unproven: bool

    @property
    def about(self) -> str:
        return looks_at(self.subject, self.value)


def rules_of(mailbox_id: int) -> Sequence[OwnRule]:
    """The rules of a mailbox, by what they look at."""
    return [_own(row) for row in Rule.objects.using("reader").filter(mailbox_id=mailbox_id)]


def set_rule(mailbox_id: int, action: str, sender: str, note: str = "") -> OwnRule:
    """Keeps what is to become of a sender's mail, in place of what this mailbox said of that sender before.

    `sender` is an address, alone or as mail programs copy it (`Eve <eve@shop.example>`), or a domain. Raises
    ChangeRefused."""
    with transaction.atomic():
        # Of two forms sent at once the second sees what the first has written.
        Mailbox.objects.select_for_update().get(pk=mailbox_id)
        return _own(_set(Rule(mailbox_id=mailbox_id, action=action, note=note), sender))


def set_domain_rule(domain_id: int, action: str, sender: str, note: str = "") -> OwnRule:
    """The same for all of a domain, by its administrators' word."""
    with transaction.atomic():
        Domain.objects.select_for_update().get(pk=domain_id)
        return _own(_set(Rule(domain_id=domain_id, action=action, note=note), sender))


def remove_rule(mailbox_id: int, rule_id: int) -> bool:
    """Whether the mailbox had such a rule, which it has no longer."""
    is_own = Rule.objects.filter(pk=rule_id, mailbox_id=mailbox_id).exists()
    return is_own and remove_rules([rule_id]) > 0


def own_pause(mailbox_id: int) -> int | None:
    """How many minutes strangers wait by this mailbox's own word; None where it leaves that to the site."""
    return SenderPause.objects.using("reader").filter(mailbox_id=mailbox_id).values_list("minutes", flat=True).first()


def set_own_pause(mailbox_id: int, minutes: int | None) -> None:
    """Keeps the mailbox's own pause, 0 for none; None leaves it to the site. Raises ChangeRefused."""
    with transaction.atomic():
        Mailbox.objects.select_for_update().get(pk=mailbox_id)
        row = SenderPause.objects.filter(mailbox_id=mailbox_id).first()
        if minutes is not None:
            row = row or SenderPause(mailbox_id=mailbox_id)
            row.minutes = minutes
            services.save_pause(row)
        elif row is not None:
            services.remove_pause(row)


def _set(wanted: Rule, sender: str) -> Rule:
    """Keeps the rule about the sender, in place of the one that its mailbox or domain has already."""
    if wanted.action not in Rule.Action.values:
        raise ChangeRefused("Choose what is to become of the mail.")
    wanted.subject, wanted.value = _sender(sender)
    rules = Rule.objects.filter(Q(("mailbox_id", wanted.mailbox_id), ("domain_id", wanted.domain_id)))
    rule = rules.filter(subject=wanted.subject, value=wanted.value).first()
    if rule is None and wanted.mailbox_id and rules.count() >= MOST_RULES:
        raise ChangeRefused(f"There are {MOST_RULES} rules here: remove some first, or name whole domains.")
    rule = rule or wanted
    rule.action, rule.note, rule.expires_at, rule.believes_unproven = wanted.action, wanted.note, None, False
    save_rule(rule)
    return rule


def _sender(text: str) -> tuple[str, str]:
    """What a rule looks at, and the value in the form in which it is compared."""
    text = text.strip()
    if text.endswith(">"):
        text = text[:-1].rpartition("<")[2].strip()
    domain = text.removeprefix("*").lstrip("@.")
    if "@" in domain:
        return Rule.Subject.SENDER, checked_value(Rule.Subject.SENDER, text)
    return Rule.Subject.SENDER_DOMAIN, checked_value(Rule.Subject.SENDER_DOMAIN, domain)


def _own(row: Rule) -> OwnRule:
    return OwnRule(row.pk, row.action, row.subject, row.value, row.note, row.expires_at, row.believes_unproven)
