"""DKIM records (RFC 6376 §3.6.1): the key there is ours, and whole; the ways in which control panels spoil it.

A record is read as incoming mail's are (mailsuite.mailauth.dkim.keys): what a receiver refuses is never called good.
"""

from collections.abc import Sequence

from mailsuite.mailauth.dkim.keys import MIN_RSA_BITS, KeyProblem, read_key
from mailsuite.mailauth.dkim.tags import TAG_NAME
from mailsuite.mailauth.dns_record import Record
from mailsuite.records.judging.sides import Judge, change, publish
from mailsuite.records.judging.spf import QUOTES
from mailsuite.records.seen import OK, Judgement, Verdict, octets
from mailsuite.resolver.answers import Answer, Resolver, Status

# What people's panels and earlier hosts call it.
COMMON_SELECTORS = ("default", "dkim", "mail", "selector1", "s1")


def judge(record: Record, selectors: Sequence[str]) -> Judge:
    """`selectors` are other ones of the domain, where the key may stand by mistake."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        found = octets(answer)
        if not found:
            return await _absent(record, selectors, resolver)
        if len(found) > 1:
            return change(record, f"There are {len(found)} records at the name, and receivers take any: keep ours.")
        return read(found[0], record)

    return judged


def read(found: bytes, record: Record) -> Judgement:
    """What the record that was found means, where `record` should stand."""
    wanted, text = tags_of(record.value), found.decode("utf-8", "replace")
    if not wanted.get("p"):
        return OK if tags_of(text).get("p") == "" else change(record, "The record does not call the key back.")
    algorithm = wanted.get("k", "rsa")
    try:
        key = read_key(found, algorithm)
    except KeyProblem as problem:
        return _refused(text, wanted, problem, record)
    if key.public != read_key(record.value.encode(), algorithm).public:
        return change(record, "Another key stands there, so that our signatures fail.")
    return _doubts(tags_of(text), wanted["p"]) or OK


def _refused(text: str, wanted: dict[str, str], problem: KeyProblem, record: Record) -> Judgement:
    """A record that no receiver can use: what happened to it, as far as that shows, else what the reader said."""
    tags, ours = tags_of(text), wanted["p"]
    key = tags.get("p")
    plain = "".join((key or "").split())
    if plain == ours and key is not None:
        return change(record, _misuse(tags, wanted) or f"Receivers refuse the record: {problem}{_stray(text)}.")
    if any(quote in text for quote in (*QUOTES, '"')):
        return change(record, "Quotation marks became a part of the record: type it without any.")
    if key is None or ";" not in text:
        return change(record, "The semicolons of the record got lost, so that its key isn't found.")
    if not plain:
        return change(record, "The record calls the key back (p= is empty).")
    if ours and len(plain) < len(ours) and ours.startswith(plain):
        return change(
            record,
            f"Only the first {len(plain)} of {len(ours)} characters of the key are there: publish every string of the "
            "record as one value.",
        )
    if 0 < problem.bits < MIN_RSA_BITS:
        return change(record, f"The key there has only {problem.bits} bits, which nobody accepts, and is not ours.")
    return change(record, f"Receivers refuse the record, and its key is not ours: {problem}{_stray(text)}.")


def is_usable(found: bytes, algorithm: str) -> bool:
    """Whether receivers can verify signatures of the algorithm (rsa or ed25519) by the record."""
    try:
        read_key(found, algorithm)
    except KeyProblem:
        return False
    return True


def tags_of(text: str) -> dict[str, str]:
    """Tags of a list such as DKIM's, by their names; of one that comes twice the first."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip(), value.strip())
    return tags


def _misuse(tags: dict[str, str], wanted: dict[str, str]) -> str:
    """Which tag keeps the right key from its use, as a sentence; "" where it is none of those."""
    if tags.get("k", "rsa") != wanted.get("k", "rsa"):
        return f"k= says {tags.get('k', 'rsa')[:20]}, and the key is {wanted.get('k', 'rsa')}."
    if tags.get("v", "DKIM1") != "DKIM1":
        return f"v= says {tags['v'][:20]}, where DKIM1 must stand."
    if not {"*", "email"} & set(_elements(tags.get("s", "*"))):
        return f"s={tags['s'][:20]} keeps the key from being used for mail."
    return ""


def _doubts(tags: dict[str, str], key: str) -> Judgement | None:
    """What makes others stumble over a record with the right key that we can read."""
    if "y" in _elements(tags.get("t", "")):
        return _warn("Take t=y out of the record: it tells receivers that DKIM is only tried out.")
    if any(character.isspace() for character in tags["p"]):
        return _warn("Publish the key without blanks in it: some receivers stumble over them.")
    if tags["p"] != key:
        return _warn("Publish the key as it is here to the letter, = included: some receivers stumble over it.")
    if tags.get("s", "*") not in ("*", "email"):
        return _warn("Write s=email, or leave s= out: some receivers heed no key that is for more than one service.")
    if "v" in tags and next(iter(tags)) != "v":
        return _warn("Put v=DKIM1 first in the record: some receivers heed none where it stands later.")
    if "h" in tags and "sha256" not in _elements(tags["h"]):
        return _warn("Write h=sha256, or leave h= out: most receivers take the key for no use to them as it is.")
    return None


def _stray(text: str) -> str:
    """The part of a tag list that is no name=value, in brackets; "" where there is none."""
    parts = [part.strip() for part in text.split(";")]
    for part in parts[:-1] if not parts[-1] else parts:
        name, equals, _ = part.partition("=")
        if not equals or not TAG_NAME.fullmatch(name.strip().encode()):
            return f" ({part[:60] or 'two semicolons'})"
    return ""


def _elements(value: str) -> list[str]:
    return [element.strip() for element in value.split(":")]


def _warn(sentence: str) -> Judgement:
    return Judgement(Verdict.WARN, sentence)


async def _absent(record: Record, selectors: Sequence[str], resolver: Resolver) -> Judgement:
    """Where else the key may have gone."""
    selector, _, domain = record.name.partition("._domainkey.")
    ours = tags_of(record.value).get("p", "")
    if not ours:
        return publish(record)
    for name in (f"{record.name}.{domain}", f"{selector}.{domain}"):
        if await _holds(resolver, name, ours):
            why = "the domain's name came twice" if name.endswith(f"{domain}.{domain}") else "_domainkey is left out"
            return Judgement(Verdict.MISSING, f"The record stands at {name} ({why}): move it to {record.name}")
    for other in (*selectors, *COMMON_SELECTORS):
        name = f"{other}._domainkey.{domain}"
        if other != selector and await _holds(resolver, name, ours):
            return Judgement(Verdict.MISSING, f"The key stands under the selector {other}: move it to {record.name}")
    return publish(record)


async def _holds(resolver: Resolver, name: str, public_key: str) -> bool:
    answer = await resolver.query(name, "TXT")
    if answer.status is not Status.OK:
        return False
    found = [tags_of(text.decode("utf-8", "replace")).get("p", "") for text in octets(answer)]
    return any("".join(one.split()) == public_key for one in found)
