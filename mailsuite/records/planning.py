"""Which DNS records a domain should publish, from what is set up for it: a pure function of `Setup`.

MX (RFC 5321 §5.1, RFC 7505), SPF (RFC 7208), DKIM (RFC 6376 §3.6.1, RFC 8463), DMARC (RFC 9989), CAA (RFC 8659), what
clients look for (RFC 6186, RFC 8314), reverse DNS; MTA-STS, TLSRPT and TLSA come from mailsuite.transport_security.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from mailsuite.mail.host_name import is_public
from mailsuite.mailauth.dns_record import Purpose, Record
from mailsuite.mailauth.mtasts import Policy
from mailsuite.mailauth.report_destinations import consent_name

SERVICES = (
    ("_submissions._tcp", 0, "SUBMISSIONS"),
    ("_submission._tcp", 0, "SUBMISSION"),
    ("_imaps._tcp", 0, "IMAPS"),
    ("_imap._tcp", 0, "IMAP"),
    ("_pop3s._tcp", 10, "POP3S"),
    ("_pop3._tcp", 10, "POP3"),
)
PUBLIC_PORTS = {"SUBMISSIONS": 465, "SUBMISSION": 587, "IMAPS": 993, "IMAP": 143, "POP3S": 995, "POP3": 110}
CONSENT = "v=DMARC1"
NO_SENDER, NO_MAIL = "v=spf1 -all", "0 ."
POLICIES = {
    "none": "p=none",
    "quarantine-trial": "p=quarantine; np=reject; t=y",
    "quarantine": "p=quarantine; np=reject",
    "reject-trial": "p=reject; np=reject; t=y",
    "reject": "p=reject; np=reject",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A DKIM key as far as DNS is concerned; `state` as in DkimKey."""

    selector: str
    algorithm: str
    public_key: str
    state: str


@dataclass(frozen=True, slots=True)
class Setup:
    """All that the records follow from. `addresses` are those that this host sends from, as text; `offered` names the
    listeners that are on; `ca` is who issues our certificates as CAA names it, "" when that is not known; `transport`
    are the records of MTA-STS and TLSRPT, `tlsa` those of the host, where any are to be there, and `has_lasting_key`
    says that its key is not the first start's own; `policy` is the MTA-STS policy that we serve.
    `reporting` are the hosted domains whose DMARC record has reports sent to this one, `hosted` all of them."""

    domain: str
    host: str
    addresses: tuple[str, ...] = ()
    mode: str = "mail"
    dmarc_stage: str = "none"
    keys: tuple[Key, ...] = ()
    offered: frozenset[str] = frozenset()
    ca: str = ""
    transport: tuple[Record, ...] = ()
    tlsa: tuple[Record, ...] = ()
    policy: Policy | None = None
    has_lasting_key: bool = True
    reporting: tuple[str, ...] = ()
    hosted: frozenset[str] = frozenset()

    @property
    def host_problem(self) -> str:
        """Why no record can lead to this host, and what to do, as a sentence; "" when they can."""
        if is_public(self.host):
            return ""
        return (
            f"This machine has no name that others can look up ({self.host}), so that no mail finds it: set "
            "MAILSUITE_HOSTNAME to one in a domain of yours, such as mx.example.org, and restart. The records that "
            "lead to it follow then."
        )

    @property
    def sends(self) -> bool:
        return self.mode == "mail"

    @property
    def receives(self) -> bool:
        return self.mode != "parked"


def records_of(setup: Setup) -> list[Record]:
    """What to publish, most needed first. Of a host that has no public name, that comes first, and nothing leads
    there."""
    if setup.host_problem and setup.receives:
        return [*_host(setup), *_spf(setup), *_dkim(setup), *_dmarc(setup)]
    return [
        *_mx(setup),
        *_spf(setup),
        *_dkim(setup),
        *_dmarc(setup),
        *(_host(setup) if setup.receives else ()),
        *(_transport(setup) if setup.receives else ()),
        *(_clients(setup) if setup.sends else ()),
    ]


def dkim_value(key: Key) -> str:
    """The TXT value of a key's record (RFC 6376 §3.6.1); of a revoked one that it is called back."""
    if key.state == "revoked":
        return "v=DKIM1; p="
    return f"v=DKIM1; k={key.algorithm}; p={key.public_key}"


def reports_address(domain: str) -> str:
    """Where reports on the domain's mail go: an address that the report reader reads."""
    return f"dmarc-reports@{domain}"


def _mx(setup: Setup) -> Iterator[Record]:
    why = "Says that mail for the domain comes to this host."
    value = f"10 {setup.host}."
    if not setup.receives:
        value, why = NO_MAIL, "Says that the domain takes no mail, so that nobody tries for days."
    yield Record("MX", setup.domain, value, why, purpose=Purpose.RECEIVING)


def _spf(setup: Setup) -> Iterator[Record]:
    if not setup.sends:
        yield Record("TXT", setup.domain, NO_SENDER, "SPF: nobody sends mail of the domain.")
        return
    own = [f"ip{ip_address(address).version}:{address}" for address in setup.addresses]
    value = " ".join(["v=spf1", "mx", *own, "-all"])
    yield Record("TXT", setup.domain, value, "SPF: only this host sends mail of the domain.")


def _dkim(setup: Setup) -> Iterator[Record]:
    if not setup.sends:
        why = "DKIM: no signature in the domain's name is good."
        yield Record("TXT", f"*._domainkey.{setup.domain}", "v=DKIM1; p=", why, needed=False)
        return
    whys = {
        "active": "DKIM: the key that others check our signatures by.",
        "pending": "DKIM: a key that does not sign yet.",
        "published": "DKIM: a key that does not sign yet; its record was seen.",
        "retired": "DKIM: a key that signs no more; mail on its way still needs it.",
        "revoked": "DKIM: an old key, called back; the record may go when this key leaves the list.",
    }
    for key in setup.keys:
        name = f"{key.selector}._domainkey.{setup.domain}"
        yield Record("TXT", name, dkim_value(key), whys[key.state], needed=key.state == "active")


def _dmarc(setup: Setup) -> Iterator[Record]:
    rua = f"; rua=mailto:{reports_address(setup.domain)}"
    why = "DMARC: what receivers do with mail that only claims to be yours, and where they report what they see."
    if not setup.sends:
        why = "DMARC: mail in the domain's name is forged."
        value = "v=DMARC1; p=reject" + (rua if setup.receives else "")
    else:
        value = f"v=DMARC1; {POLICIES[setup.dmarc_stage]}{rua}"
    yield Record("TXT", f"_dmarc.{setup.domain}", value, why)
    for other in setup.reporting if setup.receives else ():
        why = f"DMARC: says that reports about {other}, whose record sends them here, are welcome."
        yield Record("TXT", consent_name(other, setup.domain), CONSENT, why, needed=False)


def _host(setup: Setup) -> Iterator[Record]:
    why = "Where this host is; it greets others by that name."
    if setup.host_problem:
        yield Record("A", setup.host, "", why, purpose=Purpose.HOST)
        return
    for address in setup.addresses:
        kind = "A" if ip_address(address).version == 4 else "AAAA"
        yield Record(kind, setup.host, address, why, purpose=Purpose.HOST)
    if not setup.addresses:
        yield Record("A", setup.host, "", why, purpose=Purpose.HOST)
    for address in setup.addresses:
        yield Record(
            "PTR",
            ip_address(address).reverse_pointer,
            f"{setup.host}.",
            "Reverse DNS: many hosts take no mail without it. Whoever gives you the address sets it.",
            purpose=Purpose.HOST,
        )
    yield Record(
        "TXT",
        setup.host,
        "v=spf1 a -all",
        "SPF of the host's own name, which bounces are sent by.",
        needed=False,
        purpose=Purpose.HOST,
    )


def _transport(setup: Setup) -> Iterator[Record]:
    yield from _purposed(setup.transport, Purpose.TRANSPORT)
    yield from _purposed(setup.tlsa, Purpose.TRANSPORT)
    ca = setup.ca or "letsencrypt.org"
    why = f"CAA: only {ca} may issue certificates for the domain."
    if not setup.ca:
        why = "CAA: if your certificates come from Let's Encrypt, nobody else can have one issued."
    yield Record("CAA", setup.domain, f'0 issue "{ca}"', why, needed=False, purpose=Purpose.TRANSPORT)


def _clients(setup: Setup) -> Iterator[Record]:
    for label, who in (("autoconfig", "Thunderbird"), ("autodiscover", "Outlook")):
        why = f"Lets {who} set itself up."
        name = f"{label}.{setup.domain}"
        yield Record("CNAME", name, f"{setup.host}.", why, needed=False, purpose=Purpose.CLIENTS)
    for service, priority, listener in SERVICES:
        offered = listener in setup.offered
        value = f"{priority} 1 {PUBLIC_PORTS[listener]} {setup.host}." if offered else "0 0 0 ."
        what = "mail is sent" if listener.startswith("SUBMISSION") else "mail is read"
        way = f"port {PUBLIC_PORTS[listener]}, {'TLS' if listener.endswith('S') else 'STARTTLS'}"
        where = f"where {what}: {way}" if offered else "that this is not offered"
        why = f"Tells mail programs {where}."
        yield Record("SRV", f"{service}.{setup.domain}", value, why, needed=False, purpose=Purpose.CLIENTS)


def _purposed(records: Iterable[Record], purpose: Purpose) -> Iterator[Record]:
    return (replace(record, purpose=purpose) for record in records)
