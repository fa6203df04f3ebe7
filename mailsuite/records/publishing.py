"""The DNS records that a domain needs, as plain values and as lines of a zone file.

Exact forms, each with the reason that the page shows: MX (RFC 5321 §5.1), SPF (RFC 7208), DKIM (RFC 6376 §3.6.1,
RFC 8463), DMARC (RFC 9989), and what clients look for (RFC 6186, RFC 8314).
"""

from dataclasses import dataclass

from django.conf import settings

from mailsuite.directory.models import Domain
from mailsuite.records.models import DkimKey

# One character-string of a TXT record (RFC 1035 §3.3.14).
STRING_OCTETS = 255
PUBLISHED = (DkimKey.State.PENDING, DkimKey.State.PUBLISHED, DkimKey.State.ACTIVE, DkimKey.State.RETIRED)
SERVICES = (
    ("_submissions._tcp", 0, "SUBMISSIONS"),
    ("_submission._tcp", 0, "SUBMISSION"),
    ("_imaps._tcp", 0, "IMAPS"),
    ("_imap._tcp", 0, "IMAP"),
    ("_pop3s._tcp", 10, "POP3S"),
    ("_pop3._tcp", 10, "POP3"),
)
PUBLIC_PORTS = {"SUBMISSIONS": 465, "SUBMISSION": 587, "IMAPS": 993, "IMAP": 143, "POP3S": 995, "POP3": 110}


@dataclass(frozen=True, slots=True)
class Record:
    """One record to publish. `name` is whole, without the last dot; a TXT `value` is one string, without quotes.

    `needed` says that mail fails or is doubted without it; `why` is one sentence for people.
    """

    type: str
    name: str
    value: str
    why: str
    needed: bool = True

    @property
    def zone_value(self) -> str:
        """The value as a zone file wants it: TXT in quoted strings of at most 255 octets."""
        if self.type != "TXT":
            return self.value
        return " ".join(f'"{_escaped(part)}"' for part in text_strings(self.value))

    @property
    def zone_line(self) -> str:
        return f"{self.name}. 3600 IN {self.type} {self.zone_value}"


def records_for(domain: Domain) -> list[Record]:
    """What to publish for the domain, most needed first."""
    name, host = domain.name, settings.MAILSUITE.hostname
    return [
        Record("MX", name, f"10 {host}.", "Says that mail for the domain comes to this host."),
        Record("TXT", name, "v=spf1 mx -all", "SPF: only this host sends mail of the domain."),
        *_dkim(domain),
        Record(
            "TXT",
            f"_dmarc.{name}",
            f"v=DMARC1; p=none; rua=mailto:postmaster@{(domain.alias_of or domain).name}",
            "DMARC: others report what they see under your name. Tighten p=none to quarantine or reject when the "
            "reports are clean.",
        ),
        *_for_clients(name, host),
    ]


def zone_file(domain: Domain) -> str:
    """All of them as text for a zone file."""
    return "".join(f"{record.zone_line}\n" for record in records_for(domain))


def text_strings(value: str) -> list[str]:
    """A TXT value cut into character-strings; who reads them joins them without a space."""
    return [value[start : start + STRING_OCTETS] for start in range(0, len(value), STRING_OCTETS)] or [""]


def dkim_record(key: DkimKey, domain_name: str) -> Record:
    value = f"v=DKIM1; k={key.algorithm}; p={key.public_key}"
    signs = key.state == DkimKey.State.ACTIVE
    why = "DKIM: the key that others check our signatures by." if signs else "DKIM: a key that is not signing now."
    return Record("TXT", f"{key.selector}._domainkey.{domain_name}", value, why, needed=signs)


def _dkim(domain: Domain) -> list[Record]:
    keys = domain.dkim_keys.filter(state__in=PUBLISHED).order_by("-algorithm", "selector")
    return [dkim_record(key, domain.name) for key in keys]


def _for_clients(name: str, host: str) -> list[Record]:
    listeners = settings.MAILSUITE.listeners
    records = [
        Record("CNAME", f"autoconfig.{name}", f"{host}.", "Lets Thunderbird set itself up.", needed=False),
        Record("CNAME", f"autodiscover.{name}", f"{host}.", "Lets Outlook set itself up.", needed=False),
    ]
    for service, priority, listener in SERVICES:
        value = f"{priority} 1 {PUBLIC_PORTS[listener]} {host}." if listeners.get(listener) else "0 0 0 ."
        records.append(
            Record("SRV", f"{service}.{name}", value, "Tells clients where the service is (RFC 6186).", needed=False)
        )
    return records


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
