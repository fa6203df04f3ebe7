"""How passwords are kept: argon2id with 19 MiB, two passes, one lane (RFC 9106, at OWASP's small-memory setting)."""

from django.contrib.auth.hashers import Argon2PasswordHasher

from mailsuite.access.opaque_string import opaque_string

# Of those that are set, in UTF-8: each protocol carries as much, even with each letter apart from its accents.
MOST_PASSWORD_OCTETS = 500
# Of those that were set before, in characters, and of what is typed for one.
LONGEST_PASSWORD = 1000
LONGEST_TYPED = 4 * LONGEST_PASSWORD


class Argon2idHasher(Argon2PasswordHasher):
    """Here, where every door's passwords come by, they take the form that RFC 8265 compares."""

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """The hash of the password's compared form (RFC 8265 §4.2)."""
        return super().encode(opaque_string(password), salt)

    def verify(self, password: str, encoded: str) -> bool:
        """Whether it is the password, or was it before hashes were made of the compared form: those stay good. Beyond
        ASCII it costs two hashes, whoever the name is."""
        if super().verify(opaque_string(password), encoded):
            return True
        return password != opaque_string(password) and super().verify(password, encoded)
