"""Passwords that are good enough, and their hashes."""

import re
import unicodedata
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from mailsuite.access.opaque_string import disallowed_in, opaque_string
from mailsuite.access.password_hasher import LONGEST_TYPED, MOST_PASSWORD_OCTETS
from mailsuite.directory.models import User
from mailsuite.errors import ChangeRefused

# What other mail hosts keep: Dovecot's and LDAP's {SCHEME}…, crypt(5)'s $id$…$…, Django's name$…$….
_SCHEME = (
    r"S?SHA-?\d*|S?MD[45]|(?:DES|MD5|BLF|SHA\d+|BCRYPT|SCRYPT)?-?CRYPT|PBKDF2[\w-]*|ARGON2I?D?|SCRAM-SHA-\d+"
    r"|(?:PLAIN|HMAC|CRAM|DIGEST|LDAP)-MD[45]|LANMAN|NTLM|RPA|OTP|SKEY"
)
_HASH = re.compile(
    rf"\{{(?:{_SCHEME})(?:\.(?:HEX|B64|BASE64))?\}}.{{8,}}"
    r"|\$(?:1|2[abxy]?|5|6|7|y|gy|md5|sha1|apr1|scrypt|pbkdf2[\w-]*|argon2i?d?)\$.*[$,].{8,}"
    r"|(?:argon2|pbkdf2_sha(?:1|256)|bcrypt(?:_sha256)?|scrypt)\$.*\$.{8,}",
    re.IGNORECASE | re.DOTALL,
)


def check_form(password: str) -> None:
    """Raises ChangeRefused for what can't be a password, weak or strong."""
    if not password:
        raise ChangeRefused("The password is empty: give one.")
    if len(password) > LONGEST_TYPED or _octets(password) > MOST_PASSWORD_OCTETS:
        raise ChangeRefused(
            f"The password is longer than {MOST_PASSWORD_OCTETS} octets, which not every mail program could send: "
            "shorten it."
        )
    if character := disallowed_in(password):
        name = unicodedata.name(character, "a control or unknown character")
        raise ChangeRefused(
            f"The password holds {name} (U+{ord(character):04X}), which can't be seen or is sent by no mail program: "
            "leave it out."
        )
    if _HASH.fullmatch(password):
        raise ChangeRefused(
            "That is the hash of a password, and nobody types it: give the password itself, or a new one with "
            "--must-change, which its owner replaces at the first sign-in."
        )


def check_strength(password: str, email: str = "", name: str = "") -> None:
    """Raises ChangeRefused for a password that is too easy to guess, or that can't be one."""
    check_form(password)
    try:
        validate_password(opaque_string(password), User(email=email, name=name))
    except ValidationError as error:
        raise ChangeRefused(f"The password is too weak: {' '.join(error.messages)}") from None


def hash_password(password: str, *, email: str = "", name: str = "", weak_password_ok: bool = False) -> str:
    """The argon2id hash to keep; takes some 20 ms of a core, so call it outside of any transaction."""
    check_form(password)
    if not weak_password_ok:
        check_strength(password, email, name)
    return make_password(password)


def _octets(password: str) -> int:
    return len(opaque_string(password).encode("utf-8", "surrogatepass"))


class FormValidator:
    """The same for Django's own commands (changepassword, createsuperuser), which know of no services of ours."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raises ValidationError for what can't be a password."""
        try:
            check_form(password)
        except ChangeRefused as error:
            raise ValidationError(str(error)) from None

    def get_help_text(self) -> str:
        """What Django's forms say beside the field."""
        return "Your password can't hold characters that nobody sees."
