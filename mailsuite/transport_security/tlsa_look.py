"""What DNS says about our own TLSA records: whether others can find this host's key, and when it may change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import transaction

from mailsuite.configuration import Configuration
from mailsuite.mailauth import dane
from mailsuite.resolver.answers import Answer, Resolver, Status, Tlsa
from mailsuite.transport_security.keys import KeyProblem, Keys, read_keys
from mailsuite.transport_security.models import DaneLook, HostKey
from mailsuite.transport_security.validation import Validation, resolver_validates

# The least that a record must have been seen before the key may change: resolvers keep older answers for their TTL.
MIN_WAIT = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Seen:
    """One look: the answer about TLSA records, and whether the resolver is one whose word counts."""

    answer: Answer
    validation: Validation


@dataclass(frozen=True, slots=True)
class Advice:
    """Whether a certificate with the next key may be taken into use now, and what to do, as a sentence."""

    is_safe: bool
    text: str


async def see(resolver: Resolver, hostname: str) -> Seen:
    """Asks for the TLSA records of this host's port 25."""
    answer = await resolver.query(dane.record_name(hostname), "TLSA")
    return Seen(answer, await resolver_validates(resolver))


def note(configuration: Configuration, seen: Seen, now: datetime) -> DaneLook:
    """Keeps what was seen; returns the row. Raises KeyProblem when the certificate can't be read."""
    keys, chain = read_keys(configuration), _chain(configuration)
    state, text = judge(seen.answer, chain, configuration.hostname, now)
    with transaction.atomic():
        look, _ = DaneLook.objects.update_or_create(
            hostname=configuration.hostname,
            defaults={
                "at": now,
                "state": state,
                "text": text[:500],
                "is_signed": seen.answer.secure and seen.validation.is_good,
                "resolver_validates": seen.validation.is_good,
                "resolver_text": seen.validation.text[:300],
            },
        )
        if seen.answer.status is not Status.TEMPERROR:
            _note_keys(keys, seen.answer, now)
    return look


def judge(answer: Answer, chain: Sequence[bytes], hostname: str, now: datetime) -> tuple[DaneLook.State, str]:
    """What the answer means for those who deliver to us."""
    if answer.status is Status.TEMPERROR:
        return DaneLook.State.UNKNOWN, "DNS did not answer."
    if answer.status is not Status.OK:
        return DaneLook.State.MISSING, "There are no TLSA records: nobody checks this host's key by DANE."
    records = dane.usable([record for record in answer.rdata if isinstance(record, Tlsa)])
    if dane.match(records, chain, (hostname,), now.timestamp()).record is None:
        shown = ", ".join(dane.describe(record) for record in answer.rdata if isinstance(record, Tlsa))
        return (
            DaneLook.State.MISMATCH,
            f"No TLSA record matches the key in use ({shown}): hosts that go by DANE deliver nothing here. Publish the "
            "records that `manage.py certificate show` lists, or go back to the certificate before.",
        )
    if not answer.secure:
        return (
            DaneLook.State.INSECURE,
            "The TLSA records match the key in use, but nothing vouches for them here: the zone is not signed with "
            "DNSSEC, or this host's resolver does not validate.",
        )
    return DaneLook.State.GOOD, "A TLSA record matches the key in use."


def advise(keys: Keys, now: datetime) -> Advice:
    """Whether the next key may come into use."""
    if not keys.next:
        return Advice(False, "There is no next key. `manage.py certificate next-key` makes one.")
    published = HostKey.objects.exclude(seen_at=None).filter(digest__in=[keys.current, keys.next])
    rows = {row.digest: row for row in published}
    look = DaneLook.objects.order_by("-at").first()
    if look is None:
        return Advice(False, "DNS was not looked at yet: manage.py certificate check")
    if look.state == DaneLook.State.MISSING:
        return Advice(True, "No TLSA records are in DNS: without them the key may change at any time.")
    row = rows.get(keys.next)
    if row is None or row.seen_at is None:
        text = f"Publish TLSA 3 1 1 {keys.next} beside the present record, and wait until it is seen."
        return Advice(False, text)
    ready_at = row.seen_at + max(MIN_WAIT, timedelta(seconds=2 * row.ttl_seconds))
    if now < ready_at:
        text = f"The next key's record is seen; old answers live until {ready_at:%Y-%m-%d %H:%M} UTC."
        return Advice(False, text)
    return Advice(True, "The next key's record is known everywhere: a certificate for it may come into use.")


def _note_keys(keys: Keys, answer: Answer, now: datetime) -> None:
    there = {
        record.data.hex()
        for record in answer.rdata
        if isinstance(record, Tlsa) and (record.usage, record.selector, record.matching_type) == (3, 1, 1)
    }
    for digest in filter(None, (keys.current, keys.next)):
        row, _ = HostKey.objects.get_or_create(digest=digest)
        row.seen_at = (row.seen_at or now) if digest in there else None
        row.ttl_seconds = max(row.ttl_seconds, answer.ttl) if digest in there else 0
        row.save()
    HostKey.objects.exclude(digest__in=[keys.current, keys.next]).delete()


def _chain(configuration: Configuration) -> list[bytes]:
    path = configuration.certificate
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        raise KeyProblem(f"The certificate {path} can't be read.") from None
    return [one.public_bytes(Encoding.DER) for one in found]
