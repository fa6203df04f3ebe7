"""What a delivery test tells of an address of our own: its mail goes nowhere, so it is looked up instead of dialled."""

from collections.abc import Iterator

from mailsuite.directory import lookup
from mailsuite.directory.resolution import Kind, Resolution
from mailsuite.mail.address import Address, Path
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.pipeline.destinations import Destinations
from mailsuite.store import usage
from smtpd_service.probe.stage import TITLES, Stage, Tone

# An alias may lead to a thousand.
MOST_LINES = 20


def stages_here(address: Address) -> tuple[Stage, ...]:
    """The stages for an address whose domain is hosted here, the last one named `result`; none for any other. Reads the
    directory."""
    resolution = lookup.resolve(address)
    if resolution.kind is Kind.UNHOSTED:
        return ()
    found = _refused(address, _refusal(address, resolution)) or _taken(address, resolution)
    return found, _stage("result", found.tone, _result(address, resolution, found.tone))


def _refusal(address: Address, resolution: Resolution) -> Refusal | None:
    whole = Destinations.of(Path(address), resolution).whole()
    used = usage.used_octets([target.mailbox_id for target in whole.local.values() if target.quota_octets])
    return decisions.recipient(resolution, may_relay=False) or decisions.quota(whole, used, 0)


def _refused(address: Address, refusal: Refusal | None) -> Stage | None:
    if refusal is None:
        return None
    tone = Tone.WARNING if refusal.reply.is_transient else Tone.BAD
    return _stage("here", tone, f"{address.domain} is hosted here, and says to this address: {refusal.reply}.")


def _taken(address: Address, resolution: Resolution) -> Stage:
    lines = list(_lines(resolution))
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"and {len(lines) - MOST_LINES} more"]
    text = (
        f"{address.domain} is hosted here: mail from this host's people and programs needs no other host to get there."
    )
    return _stage("here", Tone.NOTE if resolution.remote else Tone.GOOD, text, tuple(lines))


def _lines(resolution: Resolution) -> Iterator[str]:
    for step in resolution.chain:
        yield f"{step.address} leads to {', '.join(step.targets[:MOST_LINES]) or 'nothing'} ({step.by})"
        for end in step.dead:
            yield f"{step.address} names {end.address} in vain ({end.reason})"
    for mailbox in resolution.local:
        yield f"mailbox {mailbox.address}"
    for reader in resolution.reports:
        yield f"the reader of reports ({reader.kind})"
    for remote in resolution.remote:
        yield f"goes on to {remote}"
    for kept in resolution.kept:
        yield f"nobody reads {kept.address}: its mail is kept in the queue for the administrators"


def _result(address: Address, resolution: Resolution, tone: Tone) -> str:
    if tone is Tone.BAD:
        return f"Mail to {address} would come back."
    if tone is Tone.WARNING:
        return f"Mail to {address} would wait with whoever sends it, and be tried again."
    if resolution.remote:
        others = ", ".join(resolution.remote[:3]) + (" and others" if len(resolution.remote) > 3 else "")
        return f"Mail to {address} is taken here and goes on to {others}: test these addresses too."
    if resolution.kept and not resolution.local:
        return f"Mail to {address} is kept until somebody reads it: give an administrator a mailbox, or make an alias."
    return f"Mail to {address} is filed here."


def _stage(name: str, tone: Tone, text: str, details: tuple[str, ...] = ()) -> Stage:
    return Stage(name, TITLES[name], tone, text, "", details)
