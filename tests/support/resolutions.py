"""Resolutions as the directory would answer them, for tests of what is done with them."""

from collections.abc import Sequence

from mailsuite.directory.resolution import Expansion, Kind, LocalTarget, Part, ReportTarget, Resolution


def resolved(
    address: str,
    local: Sequence[LocalTarget] = (),
    remote: Sequence[str] = (),
    reports: Sequence[ReportTarget] = (),
    domain_id: int = 1,
) -> Resolution:
    """What an alias of example.org that leads to these is resolved to."""
    step = Expansion(address, "alias", (*(one.address for one in local), *remote), domain_id) if remote else None
    part = Part(
        key=f"alias {address}",
        address=address,
        domain_id=domain_id,
        local={one.mailbox_id: one for one in local},
        remote={one: one for one in remote},
        reports={(one.kind, one.domain_id): one for one in reports},
        step=step,
    )
    return Resolution(Kind.RESOLVED, (part,), domain_id)
