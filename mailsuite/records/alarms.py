"""People told, once a day at most, that a domain's records got worse."""

from datetime import datetime, timedelta

from mailsuite.abuse.telling import Matter, tell
from mailsuite.database.stored_time import within
from mailsuite.directory.models import Domain
from mailsuite.records.models import DnsCheck

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
    """Tells of each domain that got worse; returns how many mails that made."""
    worse = DnsCheck.objects.exclude(worse_since=None).filter(domain__state=Domain.State.ACTIVE)
    told = 0
    for check in worse.select_related("domain"):
        if within(check.alarmed_at, now, AT_MOST_EVERY):
            continue
        # Marked first: a crash between the two costs a mail, never a stream of them.
        DnsCheck.objects.filter(pk=check.pk).update(alarmed_at=now)
        told += tell(_matter(check), now)
    return told


def _matter(check: DnsCheck) -> Matter:
    text = TEXT.format(domain=check.domain.name, text=check.worse_text, since=check.worse_since)
    return Matter(f"The DNS records of {check.domain.name} need a look", text, "dns-drift", domain=check.domain)
