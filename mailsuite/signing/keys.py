"""DKIM keys: made, kept encrypted, switched on and off."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from mailsuite.directory.models import Domain
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.secrets import field_cipher
from mailsuite.signing.models import DkimKey

RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`private_key` is PKCS#8 PEM in clear; `public_key` the p= value of the record (RFC 6376 §3.6.1, RFC 8463 §4)."""

    algorithm: str
    private_key: str
    public_key: str


def make_key_pairs() -> list[KeyPair]:
    """One RSA and one Ed25519 pair; takes some 100 ms of a core, so call it outside of any transaction."""
    rsa = generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    ed25519 = Ed25519PrivateKey.generate()
    subject_public_key_info = rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return [
        KeyPair(DkimKey.Algorithm.RSA, _pem(rsa), base64.b64encode(subject_public_key_info).decode()),
        KeyPair(DkimKey.Algorithm.ED25519, _pem(ed25519), base64.b64encode(raw).decode()),
    ]


def store_domain_keys(domain: Domain, pairs: Sequence[KeyPair]) -> None:
    """Keeps a domain's first keys, in the caller's transaction. RSA signs at once: a signature whose record isn't
    there counts as none (RFC 6376 §6.1). Ed25519 waits for an administrator."""
    cipher = field_cipher()
    for pair in pairs:
        active = pair.algorithm == DkimKey.Algorithm.RSA
        DkimKey.objects.create(
            domain=domain,
            selector=_free_selector(domain, pair.algorithm),
            algorithm=pair.algorithm,
            state=DkimKey.State.ACTIVE if active else DkimKey.State.PENDING,
            private_key=cipher.encrypt(pair.private_key),
            public_key=pair.public_key,
            activated_at=timezone.now() if active else None,
        )


def start_rotation(domain_id: int, algorithm: str = DkimKey.Algorithm.RSA, pair: KeyPair | None = None) -> str:
    """Makes the key that is to take over and returns its selector: its record is shown at once, and it signs as soon as
    the domain's own name servers have it. Raises ChangeRefused while another one waits."""
    pair = pair or next(one for one in make_key_pairs() if one.algorithm == algorithm)
    with transaction.atomic():
        domain = Domain.objects.select_for_update().get(pk=domain_id)
        waiting = domain.dkim_keys.filter(algorithm=pair.algorithm, takes_over=True).first()
        if waiting:
            raise ChangeRefused(f"{waiting.selector} waits for its record in DNS already: publish that one first.")
        key = DkimKey.objects.create(
            domain=domain,
            selector=_free_selector(domain, pair.algorithm),
            algorithm=pair.algorithm,
            private_key=field_cipher().encrypt(pair.private_key),
            public_key=pair.public_key,
            takes_over=True,
        )
    return key.selector


def activate_key(key_id: int) -> None:
    """Signs with this key from now on; another active key of the same algorithm retires."""
    with transaction.atomic():
        key = DkimKey.objects.select_for_update().get(pk=key_id)
        if key.state == DkimKey.State.REVOKED:
            raise ChangeRefused(f"{key.selector} is revoked: make a new key instead.")
        others = DkimKey.objects.filter(domain=key.domain, algorithm=key.algorithm, state=DkimKey.State.ACTIVE)
        others.exclude(pk=key.pk).update(state=DkimKey.State.RETIRED, retired_at=Now())
        DkimKey.objects.filter(pk=key.pk).update(
            state=DkimKey.State.ACTIVE, activated_at=Now(), retired_at=None, takes_over=False
        )
        touch_directory()


def retire_key(key_id: int) -> None:
    """Signs with this key no more; its record should stay for a week, for mail on its way."""
    with transaction.atomic():
        DkimKey.objects.filter(pk=key_id).update(state=DkimKey.State.RETIRED, retired_at=Now())
        touch_directory()


def _pem(key: RSAPrivateKey | Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _free_selector(domain: Domain, algorithm: str) -> str:
    """`r202611`, or with a letter behind when the domain has made one this month, or one of its name that was removed:
    that one's record may still be there."""
    name = f"{'r' if algorithm == DkimKey.Algorithm.RSA else 'e'}{timezone.now():%Y%m}"
    taken = set(DkimKey.objects.filter(domain__name=domain.name).values_list("selector", flat=True))
    return next(selector for selector in _selectors(name) if selector not in taken)


def _selectors(name: str) -> Iterator[str]:
    """The name, then with a letter behind, then with numbers: a month may see many rotations."""
    yield name
    yield from (name + letter for letter in "bcdefghijklmnopqrstuvwxyz")
    yield from (f"{name}-{number}" for number in count(1))
