"""Passwords that are good enough, and their hashes."""

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from mailsuite.directory.errors import DirectoryError
from mailsuite.directory.models import User
from mailsuite.directory.passwords import LONGEST_PASSWORD


def check_strength(password: str, email: str = "", name: str = "") -> None:
    """Raises DirectoryError for a password that is too easy to guess."""
    try:
        validate_password(password, User(email=email, name=name))
    except ValidationError as error:
        raise DirectoryError(f"The password is too weak: {' '.join(error.messages)}") from None


def hash_password(password: str, *, email: str = "", name: str = "", weak_password_ok: bool = False) -> str:
    """The argon2id hash to keep; takes some 20 ms of a core, so call it outside of any transaction."""
    if not password:
        raise DirectoryError("The password is empty: give one.")
    if len(password) > LONGEST_PASSWORD:
        raise DirectoryError(f"The password is longer than {LONGEST_PASSWORD} characters: shorten it.")
    if not weak_password_ok:
        check_strength(password, email, name)
    return make_password(password)
