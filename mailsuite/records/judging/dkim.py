"""DKIM records (RFC 6376 §3.6.1): the key there is ours, and whole; the ways in which control panels spoil it."""

import base64
import binascii
from collections.abc import Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mailsuite.records.judging.sides import Judge, change, publish
from mailsuite.records.judging.spf import QUOTES
from mailsuite.records.publishing import Record
from mailsuite.records.seen import OK, Judgement, Verdict, octets
from mailsuite.resolver.answers import Answer, Resolver, Status

MIN_RSA_BITS = 1024
# What people's panels and earlier hosts call it.
COMMON_SELECTORS = ("default", "dkim", "mail", "selector1", "s1")


def judge(record: Record, selectors: Sequence[str]) -> Judge:
    """`selectors` are other ones of the domain, where the key may stand by mistake."""

    async def judged(answer: Answer, resolver: Resolver) -> Judgement:
        found = [text.decode("utf-8", "replace") for text in octets(answer)]
        if not found:
            return await _absent(record, selectors, resolver)
        if len(found) > 1:
            return change(record, f"There are {len(found)} records at the name, and receivers take any: keep ours.")
        return read(found[0], record)

    return judged


def read(text: str, record: Record) -> Judgement:
    """What the text has in place of the key in `record`."""
    wanted, tags = tags_of(record.value), tags_of(text)
    key, ours = tags.get("p"), wanted.get("p", "")
    plain = "".join((key or "").split())
    if key is not None and plain == ours:
        return _with_right_key(tags, key, wanted, record)
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
    if 0 < (bits := rsa_bits(plain)) < MIN_RSA_BITS:
        return change(record, f"The key there has only {bits} bits, which nobody accepts, and is not ours.")
    return change(record, "Another key stands there, so that our signatures fail.")


def tags_of(text: str) -> dict[str, str]:
    """Tags of a list such as DKIM's, by their names; of one that comes twice the first."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip(), value.strip())
    return tags


def rsa_bits(public_key: str) -> int:
    """The size of an RSA key as p= has it, 0 when it is none."""
    try:
        key = load_der_public_key(base64.b64decode(public_key, validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return 0
    return key.key_size if isinstance(key, RSAPublicKey) else 0


def _with_right_key(tags: dict[str, str], key: str, wanted: dict[str, str], record: Record) -> Judgement:
    if not key:
        return OK
    if tags.get("k", "rsa") != wanted.get("k", "rsa"):
        return change(record, f"k= says {tags.get('k', 'rsa')}, and the key is {wanted.get('k', 'rsa')}.")
    if tags.get("v", "DKIM1") != "DKIM1":
        return change(record, f"v= says {tags['v'][:20]}, where DKIM1 must stand.")
    if not {"*", "email"} & {one.strip() for one in tags.get("s", "*").split(":")}:
        return change(record, f"s={tags['s'][:20]} keeps the key from being used for mail.")
    flags = {flag.strip() for flag in tags.get("t", "").split(":")}
    if "y" in flags:
        return Judgement(Verdict.WARN, "Take t=y out of the record: it tells receivers that DKIM is only tried out.")
    if any(character.isspace() for character in key):
        return Judgement(Verdict.WARN, "Publish the key without blanks in it: some receivers stumble over them.")
    return OK


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
