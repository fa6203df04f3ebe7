"""What goes wrong with the host itself, told once a day: a certificate that ends, a disk that is nearly full."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from mailsuite.abuse.models import AlarmSettings
from mailsuite.abuse.telling import Matter, tell
from mailsuite.database.stored_time import within
from mailsuite.tls import certificate_end

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


def tell_of_problems(now: datetime) -> int:
    """Tells of each once a day; returns how many mails that made. For the periodic work."""
    told = 0
    for problem in problems(now):
        row, _ = AlarmSettings.objects.get_or_create(pk=1)
        if within(getattr(row, problem.field), now, AT_MOST_EVERY):
            continue
        # Marked first: a crash between the two costs a mail, never a stream of them.
        AlarmSettings.objects.filter(pk=1).update(**{problem.field: now})
        told += tell(Matter(problem.subject, problem.text, "host-alarm"), now)
    return told
