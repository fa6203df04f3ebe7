"""Words that programs of others read for sense in the English of our answers."""

# How what passes by itself begins; `wait` stands behind it. fetchmail, for one, takes any other -ERR before the login
# is done for a wrong password, and says so to its user.
SERVICE_UNAVAILABLE = "Service unavailable"


def unavailable(cause: str) -> str:
    """Return the sentence that ends a session for a cause of ours which passes by itself."""
    return f"{SERVICE_UNAVAILABLE}: {cause}; wait and try again"
