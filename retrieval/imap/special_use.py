r"""Special uses of folders, such as \Sent, for LIST and CREATE (RFC 6154)."""

from retrieval.imap.verb import Capability, Feature, logged_in

# The store's roles and their attributes.
ATTRIBUTES = {"sent": "\\Sent", "drafts": "\\Drafts", "trash": "\\Trash", "junk": "\\Junk", "archive": "\\Archive"}
_ROLES = {attribute.upper(): role for role, attribute in ATTRIBUTES.items()}


def role_of(attribute: str) -> str:
    """Return the role that an attribute, in whatever case, stands for; "" for one that there is not."""
    return _ROLES.get(attribute.upper(), "")


FEATURE = Feature(capabilities=(Capability("SPECIAL-USE", logged_in), Capability("CREATE-SPECIAL-USE", logged_in)))
