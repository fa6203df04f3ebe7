"""Mail made up from seeds: wanted and junk of several kinds, to train the content filter with and to test it on.

It is no real mail, and figures got with it say so. It is made hard on purpose: both sides share most words (offers,
orders, accounts, links), newsletters sell, junk quotes personal words and hides its own, and some wanted mail talks of
what junk sells. Each kind has senders, hosts and phrases of its own in each world, so that a test has others than the
training had.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

FIRST = (
    "ann bob carla david emma frank greta hugo irene jonas karla liam marta nils olga paul rosa sven tina ute".split()
)
LAST = "berg clark dietz evans fuchs grant hahn ivanov jansen keller lopez meyer novak olsen park quinn ricci".split()
COMMON = (
    "please thanks today tomorrow week time account order offer price free service mail link here click view details"
    " information team best regards dear hello new update number phone address payment invoice company business help"
    " questions contact support message send reply need want know see make take good great first last year month days"
    " online website check next before after over more only right work people home"
).split()
TOPICS = {
    "family": "dinner birthday kids school weekend grandma garden cake train holiday photos dog doctor bike football",
    "work": "meeting draft budget slides deadline review contract client proposal agenda quarter release server branch",
    "club": "rehearsal concert choir chess tournament hike volunteers minutes chairman fees hall schedule members",
    "trade": "delivery shipped parcel tracking receipt total quantity item vat refund warehouse courier invoice paid",
    "house": "plumber boiler rent landlord insurance mortgage kitchen paint electrician meter lease tenant heating",
    "code": "patch kernel compile merge thread commit bug regression module driver test python parser release",
    "news": "sale discount collection subscribers unsubscribe newsletter edition read browser weekly article exclusive",
    "pills": "pills pharmacy prescription weight loss enlargement viagra cialis doctor natural results discreet",
    "money": "loan winner lottery million transfer beneficiary inheritance fund bank attorney confidential claim prize",
    "phish": "verify suspended password security unusual login confirm expire mailbox quota limited restore identity",
    "crypto": "bitcoin wallet profit trading invest guaranteed returns double crypto signals broker exclusive passive",
    "dates": "lonely singles meet hot tonight profile photos chat dating lady beautiful private waiting",
    "seo": "ranking traffic backlinks google page guaranteed visitors domain seo leads marketing list audience boost",
}  # fmt: skip
SWAPS = {"a": "@4", "i": "1!", "o": "0", "e": "3", "s": "$5"}


@dataclass(frozen=True, slots=True)
class Kind:
    """Topics give its own words, `sells` how many of a text's words come from the other side's topics."""

    name: str
    is_junk: bool
    topics: tuple[str, ...]
    shared: float
    crossing: float
    html: bool = False
    link: float = 0.0
    obfuscated: float = 0.0
    listed: bool = False


KINDS = (
    Kind("personal", False, ("family", "house"), 0.5, 0.01),
    Kind("office", False, ("work", "house"), 0.5, 0.03, link=0.2),
    Kind("receipts", False, ("trade",), 0.6, 0.02, html=True, link=1.0),
    Kind("newsletters", False, ("news", "family", "trade"), 0.55, 0.08, html=True, link=1.0, listed=True),
    Kind("lists", False, ("code", "club"), 0.45, 0.04, link=0.4, listed=True),
    Kind("notices", False, ("phish", "work"), 0.6, 0.02, html=True, link=1.0),
    Kind("pills", True, ("pills",), 0.5, 0.08, html=True, link=1.0, obfuscated=0.3),
    Kind("advance-fee", True, ("money",), 0.55, 0.06),
    Kind("phishing", True, ("phish", "money"), 0.6, 0.06, html=True, link=1.0, obfuscated=0.05),
    Kind("crypto", True, ("crypto", "money"), 0.5, 0.05, html=True, link=1.0, obfuscated=0.1),
    Kind("dating", True, ("dates",), 0.5, 0.1, link=1.0, obfuscated=0.15),
    Kind("unasked offers", True, ("seo", "work"), 0.6, 0.1, link=0.6),
)


@dataclass(frozen=True, slots=True)
class Mail:
    kind: str
    is_junk: bool
    header: bytes
    body: bytes


def mails(seed: int, each: int, *, world: str) -> Iterator[Mail]:
    """Yield `each` mails of every kind, mixed. Senders, hosts and stock sentences are those of its `world`: no
    two worlds share any of them."""
    draw = random.Random(f"{seed} {world}")
    order = [kind for kind in KINDS for _ in range(each)]
    draw.shuffle(order)
    for number, kind in enumerate(order):
        yield _mail(draw, kind, number, world)


def _mail(draw: random.Random, kind: Kind, number: int, world: str) -> Mail:
    source = _source(draw, kind, world)
    words = [_word(draw, kind) for _ in range(draw.randint(25, 160))]
    subject = " ".join(_word(draw, kind) for _ in range(draw.randint(2, 7)))
    if kind.is_junk and draw.random() < 0.15:
        subject = "Re: " + subject
    text = _sentences(draw, source, words)
    if draw.random() < kind.link:
        text += f" https://{source.host}/{draw.randrange(10**6)}"
    name = f"{draw.choice(FIRST).title()} {draw.choice(LAST).title()}"
    header = [
        f"From: {name} <{draw.choice(FIRST)}{draw.randrange(99)}@{source.domain}>",
        "To: ann@example.org", f"Subject: {subject}", "Date: Mon, 23 Nov 2026 10:00:00 +0000",
        f"Message-ID: <{world}{number}.{draw.randrange(10**9)}@{source.domain}>", "MIME-Version: 1.0",
        f"Content-Type: text/{'html' if kind.html else 'plain'}; charset=utf-8",
    ]  # fmt: skip
    if kind.listed or (kind.is_junk and draw.random() < 0.3):
        header.append(f"List-Unsubscribe: <https://{source.host}/u>")
    if kind.html:
        link = f'<a href="https://{source.host}/{number}">here</a>'
        text = f"<html><body><p>{text}</p><p>{link}</p></body></html>"
    if kind.is_junk and draw.random() < 0.2:
        # Bayes poison: words of somebody's private letters.
        text += " " + " ".join(draw.choice(TOPICS["family"].split()) for _ in range(12))
    return Mail(kind.name, kind.is_junk, "\r\n".join([*header, "", ""]).encode(), text.encode() + b"\r\n")


@dataclass(frozen=True, slots=True)
class Source:
    """One sender's domain, link host and stock phrases."""

    domain: str
    host: str
    phrases: tuple[str, ...]


def _source(draw: random.Random, kind: Kind, world: str) -> Source:
    """One of the kind's dozen in this world; the same number is the same source each time."""
    number = draw.randrange(12)
    own = random.Random(f"{kind.name} {world} {number}")
    label = "".join(own.choice("bcdfghklmnprstvw") + own.choice("aeiou") for _ in range(3))
    domain = f"{label}{world}.{own.choice(['example', 'test', 'com.example'])}"
    phrases = tuple(" ".join(_word(own, kind) for _ in range(own.randint(5, 9))) for _ in range(3))
    return Source(domain, f"{own.choice(['www', 'go', 'mail'])}.{domain}", phrases)


def _sentences(draw: random.Random, source: Source, words: list[str]) -> str:
    parts = [" ".join(words[at : at + 8]).capitalize() + "." for at in range(0, len(words), 8)]
    parts.insert(draw.randrange(len(parts) + 1), draw.choice(source.phrases).capitalize() + ".")
    return "\r\n".join(parts)


def _word(draw: random.Random, kind: Kind) -> str:
    chance = draw.random()
    if chance < kind.shared:
        return draw.choice(COMMON)
    if chance < kind.shared + kind.crossing:
        others = [one for one in KINDS if one.is_junk is not kind.is_junk]
        return draw.choice(TOPICS[draw.choice(draw.choice(others).topics)].split())
    if chance < kind.shared + kind.crossing + 0.1:
        # Rare words that no training has met.
        return "".join(draw.choice("bcdfglmnprst") + draw.choice("aeiou") for _ in range(draw.randint(2, 4)))
    word = draw.choice(TOPICS[draw.choice(kind.topics)].split())
    if draw.random() < kind.obfuscated:
        at = draw.randrange(len(word))
        word = word[:at] + draw.choice(SWAPS.get(word[at], word[at] + ".")) + word[at + 1 :]
    return word
