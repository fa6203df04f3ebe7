"""How passwords are kept: argon2id with 19 MiB, two passes, one lane (RFC 9106, at OWASP's small-memory setting)."""

from django.contrib.auth.hashers import Argon2PasswordHasher

LONGEST_PASSWORD = 1000


class Argon2idHasher(Argon2PasswordHasher):
    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1
