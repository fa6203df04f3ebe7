"""Who sends in a domain's name, as people would say it: from what reports tell, and names in DNS. Pure."""

from mailsuite.mailauth.dmarc_report import Record

# Below these, names belong to customers of a registry: co.uk, com.au. Good enough to group what people look at.
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gob", "gov", "net", "ne", "or", "org"})


def source_of(record: Record, policy_domain: str) -> str:
    """The organisation that vouches for the mail: a service's own signature or envelope before the domain's itself,
    since many services sign for both; "" when nobody does."""
    dkim = [result.domain for result in record.dkim if result.result == "pass" and result.domain]
    spf = [result.domain for result in record.spf if result.result == "pass" and result.domain]
    named = [*dkim, *spf]
    foreign = (organization(domain) for domain in named if not is_within(domain, policy_domain))
    return next(foreign, policy_domain if named else "")[:253]


def is_within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def organization(name: str) -> str:
    """The part of a host's or domain's name that people know: `sendgrid.net` of `o1.mail.sendgrid.net`."""
    labels = name.lower().strip(".").split(".")
    keep = 3 if len(labels) > 2 and labels[-2] in _SECOND_LEVEL and len(labels[-1]) == 2 else 2
    return ".".join(labels[-keep:])
