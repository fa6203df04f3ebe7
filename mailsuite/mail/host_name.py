"""Whether a host's name is one that other hosts can look up. Pure."""

# Names for use within a machine or a network: RFC 6761, RFC 6762, RFC 7686, RFC 8375, ICANN's .internal, and what home
# routers and hosting centres make up. Those for tests and examples (RFC 2606) are left out: they are chosen knowingly.
PRIVATE_SUFFIXES = (
    "localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "home.arpa", "lan",
    "invalid", "onion", "alt",
)  # fmt: skip


def is_public(name: str) -> bool:
    """Whether the lower-case name may be in public DNS: it has two labels at least, and its end is nobody's own."""
    labels = name.rstrip(".").split(".")
    if len(labels) < 2 or labels[-1].isdigit():
        return False
    return labels[-1] not in PRIVATE_SUFFIXES and ".".join(labels[-2:]) not in PRIVATE_SUFFIXES
