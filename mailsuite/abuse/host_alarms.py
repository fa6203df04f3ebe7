"""What goes wrong with the host itself, told once a day: a certificate that ends, a disk that is nearly full, TLSA
records that do not match."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from textwrap import wrap

from django.conf import settings

from mailsuite.abuse.models import AlarmSettings
from mailsuite.abuse.telling import Matter, tell
from mailsuite.database.stored_time import within
from mailsuite.ids import first_id
from mailsuite.mail.known_replies import BLOCKLISTED
from mailsuite.tls import certificate_end
from mailsuite.trace.models import Event, StoryRecipient
from mailsuite.transport_security.models import DaneLook

# Those who renew certificates for us do so a month before the end; whoever is told now has time to look.
CERTIFICATE_LEFT = timedelta(days=14)
# The service takes no mail when less than a quarter of this is left.
DISK_LEFT = 1024 * 1024 * 1024
AT_MOST_EVERY = timedelta(days=1)
# What other hosts said of us within this time counts, of messages that came since then.
LATELY, QUEUED_SINCE = timedelta(days=1), timedelta(days=6)
# Of so many recipients it is looked up who said it.
FEW = 200

CERTIFICATE_TEXT = """\
The certificate of {host} ends on {ends:%d %B %Y}, and nobody has renewed it.
From then on mail programs warn or refuse to connect, and hosts that insist on
TLS (MTA-STS) deliver nothing.

Renew it, or look why the program that does so failed. A new file is served
as soon as it is there; manage.py certificate show tells what is.
"""
DISK_TEXT = """\
{free} MB are free in {folder}, where {host} keeps its mail.

When it is full, new mail is put off: hosts try again for days, and nothing is
lost, but nobody gets mail. Make room, or give the disk more of it.
"""


DANE_TEXT = """\
{text}

Hosts that look at them (DANE) deliver nothing to {host} until they match. In
the shell manage.py certificate check compares them with what is served.
"""


BLOCKLIST_TEXT = """\
{hosts} {refuses} mail of {host}, whose address is on a block list:

{said}

{advice}
"""


@dataclass(frozen=True, slots=True)
class Listing:
    """What others say of a block list that our address is on: the hosts that said so, and the words of one."""

    hosts: tuple[str, ...]
    said: str

    @property
    def whose(self) -> str:
        """The hosts in a few words."""
        others = len(self.hosts) - 1
        more = f" and {others} other host{'s' if others > 1 else ''}" if others else ""
        return f"{self.hosts[0]}{more}"

    @property
    def refuses(self) -> str:
        return "refuses" if len(self.hosts) == 1 else "refuse"


@dataclass(frozen=True, slots=True)
class Problem:
    """`field` of AlarmSettings keeps when it was last told."""

    field: str
    subject: str
    text: str


def problems(now: datetime) -> Iterator[Problem]:
    """What people should look at now."""
    configuration = settings.MAILSUITE
    host, folder = configuration.hostname, configuration.data
    ends = certificate_end(configuration.certificate)
    # That of the first run is renewed by itself.
    if configuration.tls_cert and ends and ends - now < CERTIFICATE_LEFT:
        verb = "ends" if ends > now else "has ended"
        subject = f"The certificate of {host} {verb} on {ends:%d %B %Y}"
        yield Problem("certificate_told_at", subject, CERTIFICATE_TEXT.format(host=host, ends=ends))
    free = shutil.disk_usage(folder).free
    if free < DISK_LEFT:
        text = DISK_TEXT.format(free=free // 2**20, folder=folder, host=host)
        yield Problem("disk_told_at", f"The disk of {host} is nearly full", text)


def dane_problems() -> Iterator[Problem]:
    """That our own TLSA records match nothing, by the last look at them."""
    host = settings.MAILSUITE.hostname
    look = DaneLook.objects.filter(hostname=host, state=DaneLook.State.MISMATCH).first()
    if look:
        yield Problem("dane_told_at", f"No TLSA record matches {host}", DANE_TEXT.format(text=look.text, host=host))


def listing(now: datetime) -> Listing | None:
    """That other hosts took mail for nobody lately because our address is on a block list, as they say."""
    fates = (StoryRecipient.Fate.BOUNCED, StoryRecipient.Fate.WAITING)
    rows = StoryRecipient.objects.using("reader").filter(fate__in=fates, reason=BLOCKLISTED.reason)
    stories = rows.filter(pk__gte=first_id(now - QUEUED_SINCE)).order_by("-pk").values_list("story_id", flat=True)
    events = Event.objects.using("reader").filter(story__in=list(stories[:FEW]), reason=BLOCKLISTED.reason)
    texts = events.filter(pk__gte=first_id(now - LATELY)).order_by("-pk").values_list("text", flat=True)[:FEW]
    said = {host: words for host, _, words in (text.partition(": ") for text in reversed(texts))}
    return Listing(tuple(sorted(said)), next(reversed(said.values()))) if said else None


def blocklist_problems(now: datetime) -> Iterator[Problem]:
    """The same as something to look at."""
    if found := listing(now):
        text = BLOCKLIST_TEXT.format(
            hosts=found.whose,
            refuses=found.refuses,
            host=settings.MAILSUITE.hostname,
            said="\n".join(wrap(found.said, 72, initial_indent="    ", subsequent_indent="    ")),
            advice="\n".join(wrap(BLOCKLISTED.advice, 76)),
        )
        yield Problem("blocklist_told_at", f"The address of {settings.MAILSUITE.hostname} is on a block list", text)


def tell_of_problems(now: datetime) -> int:
    """Tells of each once a day; returns how many mails that made. For the periodic work."""
    told = 0
    for problem in (*problems(now), *dane_problems(), *blocklist_problems(now)):
        row, _ = AlarmSettings.objects.get_or_create(pk=1)
        if within(getattr(row, problem.field), now, AT_MOST_EVERY):
            continue
        # Marked first: a crash between the two costs a mail, never a stream of them.
        AlarmSettings.objects.filter(pk=1).update(**{problem.field: now})
        told += tell(Matter(problem.subject, problem.text, "host-alarm"), now)
    return told
