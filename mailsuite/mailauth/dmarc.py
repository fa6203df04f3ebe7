"""DMARC (RFC 9989)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DmarcOutcome:
    """`result` is none, pass, fail, temperror or permerror. `policy` is what the domain publishes for such mail (none,
    quarantine or reject by p, sp or np), "" without a record; `disposition_asked` is what it asks to be done with this
    message: none unless it fails, and one level softer with t=y. `policy_domain` holds the record, `record` is it."""

    result: str
    from_domain: str = ""
    policy_domain: str = ""
    organizational_domain: str = ""
    policy: str = ""
    disposition_asked: str = "none"
    aligned_spf: bool = False
    aligned_dkim: tuple[str, ...] = ()
    record: str = ""
    testing: bool = False
    reason: str = ""
