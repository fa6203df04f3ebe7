"""DMARC (RFC 9989): one record at the right place, at least as strict as the domain's stage, with reports to us."""

from mailsuite.mailauth import dmarc
from mailsuite.mailauth.dns_record import Record
from mailsuite.mailauth.report_destinations import consent_name, outsiders
from mailsuite.records.judging.dkim import is_usable
from mailsuite.records.judging.sides import Judge, change, publish
from mailsuite.records.planning import CONSENT, Setup
from mailsuite.records.seen import OK, Judgement, Verdict, octets
from mailsuite.resolver.answers import Answer, Resolver, Status

# Of RFC 7489; RFC 9989 §C.7 took them away.
OBSOLETE = ("pct", "ri", "rf")
# The tags of RFC 9989 §4.7, and the values of those that have but a few.
TAGS = ("v", "p", "sp", "np", "adkim", "aspf", "psd", "t", "fo", "rua", "ruf", *OBSOLETE)
FAILURE_OPTIONS = {"0", "1", "d", "s"}
VALUES = {"adkim": ("r", "s"), "aspf": ("r", "s"), "psd": ("y", "n", "u"), "t": ("y", "n")}


def judge(record: Record, setup: Setup) -> Judge:
    """A judge of the domain's DMARC record (RFC 9989)."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        texts = octets(answer)
        found = [(text, one) for text in texts if (one := dmarc.parse_record(text))]
        if len(found) > 1:
            return change(record, f"There are {len(found)} DMARC records, and receivers then heed none: keep one.")
        if not found:
            return await _absent(record, setup.domain, texts, resolver)
        [(text, parsed)] = found
        wrong = await _wrong(parsed, record, setup, resolver)
        return wrong or _lost(text.decode("utf-8", "replace"), parsed) or read(parsed, record)

    return judged


def read(found: dmarc.Record, record: Record) -> Judgement:
    """What is doubtful in a record that works."""
    tags = _tags(found.text)
    if obsolete := [name for name in OBSOLETE if name in tags]:
        return _warn(f"Take {', '.join(obsolete)} out of the DMARC record: receivers no longer know it.")
    if "!" in tags.get("rua", "") + tags.get("ruf", ""):
        return _warn("Take the size limit (!…) out of the report addresses: receivers no longer know it.")
    if not found.rua and "rua=" in record.value:
        return _warn("Add rua to the DMARC record: without reports you don't learn who sends in your name.")
    wanted = _tags(record.value).get("rua", "").lower()
    if wanted and wanted not in [uri.partition("!")[0].lower() for uri in found.rua]:
        return _warn(f"Reports go elsewhere: add {wanted} to rua to have them read here.")
    return OK


def _lost(text: str, found: dmarc.Record) -> Judgement | None:
    """What receivers don't see of a record, or see otherwise than it is meant."""
    if not text.startswith("v=DMARC1"):
        return _warn("Let the record begin with v=DMARC1, and nothing stand before it: many receivers heed no other.")
    names = []
    parts = [part.strip() for part in text.rstrip("; \t").split(";")]
    if "" in parts:
        return _warn("Take out the second of two semicolons: some receivers heed no record that has them.")
    for part in parts:
        name, equals, value = (one.strip() for one in part.partition("="))
        if not equals:
            return _warn(f"Receivers pass over “{part[:40]}”: after a semicolon comes a name, an = and a value.")
        if name.lower() not in TAGS:
            return _warn(f"Receivers pass over {name[:20]}=, which DMARC does not know.")
        if (known := VALUES.get(name.lower())) and value.lower() not in known:
            return _warn(f"Receivers pass over {name}={value[:20]}: it must be one of {', '.join(known)}.")
        if name.lower() == "fo" and not {one.strip().lower() for one in value.split(":")} <= FAILURE_OPTIONS:
            return _warn(f"Receivers pass over fo={value[:20]}: it holds 0, 1, d and s, parted by colons.")
        if (name.lower(), value.lower()) == ("psd", "y"):
            return _warn("Take psd=y out of the record: it is for registries, under whose names others have domains.")
        names.append(name.lower())
    if twice := [name for name in names if names.count(name) > 1]:
        return _warn(f"{twice[0]}= stands in the record twice, and receivers differ in which they heed: keep one.")
    for name, heeded in (("rua", found.rua), ("ruf", found.ruf)):
        value = _tags(text).get(name, "")
        parts = [part.strip() for part in value.split(",")] if value else []
        if "" in parts:
            return _warn(f"Take the comma that parts nothing out of {name}: some receivers heed none of it.")
        if lost := [part for part in parts if part not in heeded]:
            return _warn(f"Receivers can't read “{lost[0][:60]}” in {name}: write mailto: addresses parted by commas.")
    return None


async def _wrong(found: dmarc.Record, record: Record, setup: Setup, resolver: Resolver) -> Judgement | None:
    tags, wanted = _tags(found.text), dmarc.parse_record(record.value.encode())
    if not found.is_valid:
        which = next((name for name in ("p", "sp", "np") if tags.get(name, "").lower() not in dmarc.POLICIES), "p")
        said = f"{which}={tags[which][:20]}" if which in tags else "no p="
        return change(record, f"The DMARC record has {said}, where none, quarantine or reject must stand.")
    for name in ("rua", "ruf"):
        for address in filter(None, (part.strip() for part in tags.get(name, "").split(","))):
            if "@" in address and not address.lower().startswith("mailto:"):
                return change(record, f"{name} has {address[:60]} without mailto: in front, so that no report comes.")
    if wanted and _strength(found) < _strength(wanted):
        return change(record, f"The record asks for less than the stage chosen here ({_said(found)}).")
    if refusal := await _unauthorised(found, setup.domain, resolver):
        return refusal
    if found.p == "reject" and setup.sends and not await _signs(setup, resolver):
        return _warn("p=reject stands on SPF alone, which forwarding breaks: publish the DKIM record first.")
    return None


async def consents(setup: Setup, resolver: Resolver) -> list[Record]:
    """The records by which others take the reports that the domain's own record sends them (RFC 9990 §4)."""
    texts = octets(await resolver.query(f"_dmarc.{setup.domain}", "TXT"))
    found = [one for text in texts if (one := dmarc.parse_record(text))]
    if len(found) != 1:
        return []
    return [
        Record(
            "TXT",
            consent_name(setup.domain, receiver),
            CONSENT,
            f"DMARC: by this record {receiver} takes the reports about {setup.domain}.",
            needed=False,
            asked_for=True,
        )
        for receiver in await _outsiders(found[0], setup.domain, resolver)
    ]


def judge_consent(record: Record, setup: Setup) -> Judge:
    """A judge of the record by which another domain consents to get this one's reports."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        if any(dmarc.parse_record(text) for text in octets(answer)):
            return OK
        domain, _, receiver = record.name.partition("._report._dmarc.")
        if receiver == setup.domain or receiver in setup.hosted:
            return publish(record)
        return Judgement(
            Verdict.MISSING,
            f"Ask whoever runs {receiver} to publish TXT at {record.name}: {CONSENT} (or take {receiver} out of rua: "
            f"without it, it gets no reports about {domain}).",
        )

    return judged


async def _unauthorised(found: dmarc.Record, domain: str, resolver: Resolver) -> Judgement | None:
    for receiver in await _outsiders(found, domain, resolver):
        name = consent_name(domain, receiver)
        answer = await resolver.query(name, "TXT")
        if answer.status is not Status.TEMPERROR and not any(dmarc.parse_record(text) for text in octets(answer)):
            return _warn(f"{receiver} does not take reports about {domain}: have TXT {CONSENT} published at {name}")
    return None


async def _outsiders(found: dmarc.Record, domain: str, resolver: Resolver) -> tuple[str, ...]:
    try:
        return await outsiders(resolver, domain, found.rua)
    except dmarc.TemporaryError:
        return ()


async def _absent(record: Record, domain: str, texts: tuple[bytes, ...], resolver: Resolver) -> Judgement:
    for text in texts:
        if b"DMARC1" in text.upper():
            return change(
                record, f"The record begins with {text[:16].decode(errors='replace')!r}, where v=DMARC1; must stand."
            )
    for name, why in ((domain, "at the domain itself"), (f"{record.name}.{domain}", "at a name with the domain twice")):
        answer = await resolver.query(name, "TXT")
        if any(dmarc.parse_record(text) for text in octets(answer)):
            return Judgement(Verdict.MISSING, f"The DMARC record stands {why}: move it to {record.name}")
    return publish(record)


async def _signs(setup: Setup, resolver: Resolver) -> bool:
    for key in setup.keys:
        if key.state == "active":
            answer = await resolver.query(f"{key.selector}._domainkey.{setup.domain}", "TXT")
            if answer.status is Status.TEMPERROR or any(is_usable(text, key.algorithm) for text in octets(answer)):
                return True
    return False


def _strength(record: dmarc.Record) -> int:
    return 2 * dmarc.POLICIES.index(record.p or "none") - (1 if record.testing and record.p != "none" else 0)


def _said(record: dmarc.Record) -> str:
    return f"p={record.p}{'; t=y' if record.testing else ''}"


def _tags(text: str) -> dict[str, str]:
    parts = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, equals, value in parts if equals}


def _warn(sentence: str) -> Judgement:
    return Judgement(Verdict.WARN, sentence)
