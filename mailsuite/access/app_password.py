"""App passwords: made here, shown once, found again by one keyed hash.

They hold 100 bits from a generator, so a fast hash keeps them; the key keeps a stolen database from even trying.
"""

import hmac
import re
import secrets
from hashlib import sha256

from mailsuite.ids import ALPHABET
from mailsuite.secrets import site_keys

LENGTH = 20
GROUP = 5
_SHAPE = re.compile(rf"[{ALPHABET}]{{{LENGTH}}}")


def generate() -> str:
    """A new one, in groups that can be typed on a telephone."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return "-".join(text[start : start + GROUP] for start in range(0, LENGTH, GROUP))


def digests(password: str) -> list[str]:
    """The digests it may be kept under, that of the current key first; none when it has not the shape of one."""
    text = re.sub(r"[\s-]", "", password).lower()
    if not _SHAPE.fullmatch(text):
        return []
    return [hmac.new(key, text.encode(), sha256).hexdigest() for key in site_keys("app passwords")]
