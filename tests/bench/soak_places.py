"""Who is where in the soak: addresses of the network that exists for it alone (RFC 2544's, which no host has)."""

import itertools
from collections.abc import Iterator

NETWORK = "198.18.0.0/15"
SERVER = "198.18.0.1"
DOMAIN = "example.test"
PASSWORD = "correct horse battery"
HONEST_MAILBOXES = [f"h{number}@{DOMAIN}" for number in range(5)]
HOSTILE_MAILBOX = f"hostile@{DOMAIN}"
LIST_MEMBERS = 200
PATTERN = "*a*a*a*a*ab*c"


def honest_addresses() -> Iterator[str]:
    """Each honest client has its own."""
    return (f"198.18.1.{number}" for number in range(1, 255))


def hostile_addresses(first: int, count: int) -> "itertools.cycle[str]":
    """`count` of them over and over; attacks with different `first` share none."""
    return itertools.cycle(f"198.19.{first}.{number + 1}" for number in range(count))
