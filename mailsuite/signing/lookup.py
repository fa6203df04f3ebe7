"""The DKIM keys that mail of a domain is signed with, remembered while the directory's version stays the same."""

from mailsuite.directory.cache import CACHE
from mailsuite.directory.lookup import hosted_domain
from mailsuite.directory.models import Domain
from mailsuite.mailauth.dkim.sign import SigningKey
from mailsuite.secrets import field_cipher
from mailsuite.signing.models import DkimKey


def dkim_keys(domain: str) -> tuple[SigningKey, ...]:
    """The active keys of a hosted domain, RSA first; empty when it has none. Raises SecretError when they were
    encrypted under a root secret that is not ours."""
    return CACHE.get(("dkim", domain), lambda: _dkim_keys(domain), is_unknown=lambda keys: not keys)


def signing_keys(domain: str) -> tuple[SigningKey, ...]:
    """The keys that mail from a domain is signed with: its own, or those of the domain that it is another name of; none
    for a domain that is not ours. Raises as `dkim_keys`."""
    hosted = hosted_domain(domain)
    if hosted is None:
        return ()
    return dkim_keys(hosted.name) or dkim_keys(hosted.canonical)


def _dkim_keys(domain: str) -> tuple[SigningKey, ...]:
    cipher = field_cipher()
    rows = DkimKey.objects.using("reader").filter(domain__name=domain, state=DkimKey.State.ACTIVE)
    rows = rows.exclude(domain__state=Domain.State.REMOVED)
    keys = [SigningKey(domain, row.selector, row.algorithm, cipher.decrypt(row.private_key)) for row in rows]
    return tuple(sorted(keys, key=lambda key: (key.algorithm != DkimKey.Algorithm.RSA, key.selector)))
