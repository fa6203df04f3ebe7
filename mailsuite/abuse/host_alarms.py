"""What goes wrong with the host itself, told once a day: a certificate that ends, a disk that is nearly full, TLSA
records that do not match."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from mailsuite.abuse.models import AlarmSettings
from mailsuite.abuse.telling import Matter, tell
from mailsuite.database.stored_time import within
from mailsuite.tls import certificate_end
from mailsuite.transport_security.models import DaneLook

# Those who renew certificates for us do so a month before the end; whoever is told now has time to look.
CERTIFICATE_LEFT = timedelta(days=14)
# The service takes no mail when less than a quarter of this is left.
DISK_LEFT = 1024 * 1024 * 1024
AT_MOST_EVERY = timedelta(days=1)

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


def tell_of_problems(now: datetime) -> int:
    """Tells of each once a day; returns how many mails that made. For the periodic work."""
    told = 0
    for problem in (*problems(now), *dane_problems()):
        row, _ = AlarmSettings.objects.get_or_create(pk=1)
        if within(getattr(row, problem.field), now, AT_MOST_EVERY):
            continue
        # Marked first: a crash between the two costs a mail, never a stream of them.
        AlarmSettings.objects.filter(pk=1).update(**{problem.field: now})
        told += tell(Matter(problem.subject, problem.text, "host-alarm"), now)
    return told
