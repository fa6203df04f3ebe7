"""People told, once a day at most, that a domain's records got worse."""

from datetime import datetime, timedelta

from mailsuite.database.stored_time import within
from mailsuite.directory.models import Domain, Mailbox
from mailsuite.records.models import DnsCheck
from mailsuite.store.notices import file_notice, notice
from mailsuite.store.operations import Deliver

AT_MOST_EVERY = timedelta(days=1)

TEXT = """\
Something in the DNS of {domain} was well, and is not any more:

    {text}

Seen since {since:%d %B %Y, %H:%M} UTC. If you did not change it, somebody
else did, or it got lost.

The page of the domain in the admin (Domains, {domain}, DNS records) shows
what is there now beside what should be, and what was there before; in the
shell that is: manage.py domain check {domain}
"""


def tell_of_drift(now: datetime) -> int:
    """Files one mail for each domain that got worse; returns how many."""
    worse = DnsCheck.objects.exclude(worse_since=None).filter(domain__state=Domain.State.ACTIVE)
    told = 0
    for check in worse.select_related("domain"):
        if within(check.alarmed_at, now, AT_MOST_EVERY):
            continue
        # Marked first: a crash between the two costs a mail, never a stream of them.
        DnsCheck.objects.filter(pk=check.pk).update(alarmed_at=now)
        for mailbox in administrators_mailboxes(check.domain):
            told += file_notice(_mail(check, mailbox, now))
    return told


def administrators_mailboxes(domain: Domain) -> list[Mailbox]:
    """One mailbox of each of the domain's administrators, or of those of the whole site where it has none."""
    active = Mailbox.objects.filter(state=Mailbox.State.ACTIVE, user__is_active=True).select_related("domain")
    own = active.filter(user__administered_domains__in=[domain.pk, domain.alias_of_id or domain.pk])
    found = own if own.exists() else active.filter(user__is_superuser=True)
    return list({mailbox.user_id: mailbox for mailbox in found.order_by("-pk")}.values())


def _mail(check: DnsCheck, mailbox: Mailbox, now: datetime) -> Deliver:
    text = TEXT.format(domain=check.domain.name, text=check.worse_text, since=check.worse_since)
    return notice(mailbox, f"The DNS records of {check.domain.name} need a look", text, "dns-drift", now)
