"""The DNS records by which our domains ask for TLS: MTA-STS (RFC 8461), TLSRPT (RFC 8460), TLSA (RFC 6698, 7672)."""

from django.conf import settings

from mailsuite.directory.models import Domain
from mailsuite.mail.host_name import is_public
from mailsuite.mailauth import mtasts, tlsrpt
from mailsuite.mailauth.dns_record import Record
from mailsuite.mailauth.mtasts import Mode, Policy
from mailsuite.transport_security.keys import KeyProblem, read_keys
from mailsuite.transport_security.models import WEEK_SECONDS, DaneLook, MtaSts


def own_policy(domain: Domain) -> Policy:
    """The policy that our web serves for a domain of ours; a domain's other name has its own row or that domain's."""
    rows = MtaSts.objects.using("reader").filter(domain__in=[domain.pk, domain.alias_of_id])
    found = {row.domain_id: row for row in rows}
    row = found.get(domain.pk) or found.get(domain.alias_of_id or 0)
    if row is None:
        return Policy(Mode.TESTING, (settings.MAILSUITE.hostname,), WEEK_SECONDS)
    others = filter(None, row.other_hosts.split(","))
    return Policy(Mode(row.mode), tuple(dict.fromkeys((settings.MAILSUITE.hostname, *others))), row.max_age)


def mta_sts_records(domain: Domain) -> list[Record]:
    """Where the policy is, and the record that says that there is one. Publish the host first: whoever sees the TXT
    record fetches the policy from it."""
    policy = own_policy(domain)
    return [
        Record(
            "CNAME",
            mtasts.policy_host(domain.name),
            f"{settings.MAILSUITE.hostname}.",
            f"MTA-STS: this host serves the policy under that name; its certificate must name "
            f"{mtasts.policy_host(domain.name)} as well.",
            needed=False,
        ),
        Record(
            "TXT",
            mtasts.record_name(domain.name),
            mtasts.render_record(mtasts.policy_id(policy)),
            f"MTA-STS: tells senders to demand TLS with a good certificate. The policy is in mode {policy.mode.value}; "
            "its id changes with the policy.",
            needed=False,
        ),
    ]


def tlsrpt_records(domain: Domain) -> list[Record]:
    """Where others report how TLS with us went."""
    return [
        Record(
            "TXT",
            tlsrpt.record_name(domain.name),
            tlsrpt.render_record([f"mailto:tls-reports@{(domain.alias_of or domain).name}"]),
            "TLSRPT: others report whether they reached this host under TLS.",
            needed=False,
        )
    ]


def has_lasting_key() -> bool:
    """Whether the certificate is one that somebody chose: the first start's own goes when that is there, and its key
    with it."""
    return settings.MAILSUITE.tls_cert is not None


def why_no_tlsa() -> str:
    """Why there are to be no TLSA records, as a sentence; "" when there may be, or are already. They are worth nothing
    unless the zone of the host's name is signed with DNSSEC, and keep mail away when they match no key."""
    host = settings.MAILSUITE.hostname
    look = DaneLook.objects.using("reader").filter(hostname=host).first()
    if look is not None and look.state in (DaneLook.State.GOOD, DaneLook.State.MISMATCH, DaneLook.State.INSECURE):
        return ""
    if not is_public(host):
        return f"Others can't look up the name {host}: set MAILSUITE_HOSTNAME first."
    if not has_lasting_key():
        return "The certificate is the first start's own, and its key goes with it: get a real one first."
    if look is None:
        return "DNS was not looked at yet: manage.py certificate check"
    if not look.is_signed:
        return (
            f"No DNSSEC signature was seen in the zone of {host}, without which nobody heeds TLSA: sign the zone, and "
            "have a resolver that validates (MAILSUITE_RESOLVER)."
        )
    return ""


def tlsa_records() -> list[Record]:
    """TLSA of the key in use and of the next one; empty where there are to be none (`why_no_tlsa`), and when the
    certificate can't be read."""
    if why_no_tlsa():
        return []
    try:
        keys = read_keys(settings.MAILSUITE)
    except KeyProblem:
        return []
    whose = {keys.current: "the key in use", keys.next: "the next key, to be there before its certificate"}
    return [
        Record(
            "TLSA",
            f"_25._tcp.{settings.MAILSUITE.hostname}",
            f"3 1 1 {digest}",
            f"DANE: senders know this host by its key, {text}. Keep it as long as the key is in use.",
            needed=False,
        )
        for digest, text in whose.items()
        if digest
    ]
