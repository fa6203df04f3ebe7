"""The DNS records by which our domains ask for TLS: MTA-STS (RFC 8461), TLSRPT (RFC 8460), TLSA (RFC 6698, 7672)."""

from django.conf import settings

from mailsuite.directory.models import Domain
from mailsuite.mailauth import mtasts, tlsrpt
from mailsuite.mailauth.mtasts import Mode, Policy
from mailsuite.records import publishing
from mailsuite.transport_security.keys import KeyProblem, read_keys
from mailsuite.transport_security.models import WEEK_SECONDS, MtaSts


def own_policy(domain: Domain) -> Policy:
    """The policy that our web serves for a domain of ours; a domain's other name has its own row or that domain's."""
    rows = MtaSts.objects.using("reader").filter(domain__in=[domain.pk, domain.alias_of_id])
    found = {row.domain_id: row for row in rows}
    row = found.get(domain.pk) or found.get(domain.alias_of_id or 0)
    if row is None:
        return Policy(Mode.TESTING, (settings.MAILSUITE.hostname,), WEEK_SECONDS)
    others = filter(None, row.other_hosts.split(","))
    return Policy(Mode(row.mode), tuple(dict.fromkeys((settings.MAILSUITE.hostname, *others))), row.max_age)


def mta_sts_records(domain: Domain) -> "list[publishing.Record]":
    """Where the policy is, and the record that says that there is one. Publish the host first: whoever sees the TXT
    record fetches the policy from it."""
    policy = own_policy(domain)
    return [
        publishing.Record(
            "CNAME",
            mtasts.policy_host(domain.name),
            f"{settings.MAILSUITE.hostname}.",
            f"MTA-STS: this host serves the policy under that name; its certificate must name "
            f"{mtasts.policy_host(domain.name)} as well.",
            needed=False,
        ),
        publishing.Record(
            "TXT",
            mtasts.record_name(domain.name),
            mtasts.render_record(mtasts.policy_id(policy)),
            f"MTA-STS: tells senders to demand TLS with a good certificate. The policy is in mode {policy.mode.value}; "
            "its id changes with the policy.",
            needed=False,
        ),
    ]


def tlsrpt_records(domain: Domain) -> "list[publishing.Record]":
    """Where others report how TLS with us went."""
    return [
        publishing.Record(
            "TXT",
            tlsrpt.record_name(domain.name),
            tlsrpt.render_record([f"mailto:tls-reports@{(domain.alias_of or domain).name}"]),
            "TLSRPT: others report whether they reached this host under TLS.",
            needed=False,
        )
    ]


def tlsa_records() -> "list[publishing.Record]":
    """TLSA of the key in use and of the next one; empty when the certificate can't be read. They are worth nothing
    unless the host name's zone is signed with DNSSEC, and do harm when they match no key."""
    try:
        keys = read_keys(settings.MAILSUITE)
    except KeyProblem:
        return []
    whose = {keys.current: "the key in use", keys.next: "the next key, to be there before its certificate"}
    return [
        publishing.Record(
            "TLSA",
            f"_25._tcp.{settings.MAILSUITE.hostname}",
            f"3 1 1 {digest}",
            f"DANE: senders know this host by its key, {text}. Only for a zone that is signed with DNSSEC.",
            needed=False,
        )
        for digest, text in whose.items()
        if digest
    ]
