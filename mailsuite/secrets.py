"""The root secret and the keys derived from it (HKDF-SHA256, RFC 5869), one for each use.

The root secret comes from MAILSUITE_SECRET_KEY or its file, else from DATA/secret.key, which the first run makes.
It is never in the database, so a stolen copy of the database alone opens neither DKIM keys nor sessions.
"""

import base64
import errno
import hashlib
import os
import secrets as random_source
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class SecretError(Exception):
    """A value in the database was encrypted under a root secret that this installation does not have."""


def read_or_make_root(path: Path) -> str:
    """The root secret kept at `path`, made there (mode 0600) when it does not exist yet."""
    try:
        if value := path.read_text().strip():
            return value
        raise OSError(errno.ENODATA, f"{path.name} is empty; bring back the secret that belongs to this database")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    value = random_source.token_urlsafe(48)
    # Linked into place whole: two first starts at once end up with the same secret.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            if os.geteuid() == 0:
                # For the user whose folder it is, where root is the first to run a command.
                os.fchown(descriptor, *_owner(path.parent))
            file.write(value + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return path.read_text().strip()
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return value


def _owner(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_uid, status.st_gid


@lru_cache(maxsize=64)
def derive(root: str, use: str) -> bytes:
    """32 octets of key for `use`; other uses' keys tell nothing about it."""
    return HKDF(algorithm=SHA256(), length=32, salt=b"mailsuite", info=use.encode()).derive(root.encode())


def key_id(root: str) -> str:
    """A short public name of a root secret, written beside each encrypted value."""
    return hashlib.sha256(b"mailsuite key id" + derive(root, "key id")).hexdigest()[:8]


class FieldCipher:
    """Encrypts database fields under the first root secret and opens them under any of those given."""

    def __init__(self, roots: list[str]) -> None:
        self._key_ids = [key_id(root) for root in roots]
        self._fernets = [Fernet(base64.urlsafe_b64encode(derive(root, "field encryption"))) for root in roots]

    def encrypt(self, clear: str) -> str:
        """`keyid:token`; empty stays empty."""
        return f"{self._key_ids[0]}:{self._fernets[0].encrypt(clear.encode()).decode()}" if clear else ""

    def decrypt(self, sealed: str) -> str:
        """The clear text. Raises SecretError when none of our root secrets sealed it."""
        if not sealed:
            return ""
        _, _, token = sealed.partition(":")
        try:
            return MultiFernet(self._fernets).decrypt(token.encode()).decode()
        except InvalidToken:
            raise SecretError("a value in the database was encrypted under another MAILSUITE_SECRET_KEY") from None

    def opens(self, sealed: str) -> bool:
        return not sealed or sealed.partition(":")[0] in self._key_ids


def field_cipher() -> FieldCipher:
    """The cipher of this installation's settings."""
    from django.conf import settings

    return FieldCipher([settings.ROOT_SECRET, *settings.OLD_ROOT_SECRETS])


def site_keys(use: str) -> list[bytes]:
    """The keys for `use`, current first, then those of the secrets being rotated out."""
    from django.conf import settings

    return [derive(root, use) for root in (settings.ROOT_SECRET, *settings.OLD_ROOT_SECRETS)]
