"""DMARC (RFC 9989): does the domain in From stand behind the message, and what does it ask for if not?

Policy and organisational domain are found by walking up the DNS tree (§4.10), without a list of public suffixes. A
look-up that failed never makes a message fail: where the answer hung on it, the result is temperror and no policy
applies. What is to be done about a failure is not decided here (mailsuite.verdict).

pct, ri, rf and the sizes of report addresses, of RFC 7489, are ignored (§4.7, §C.7).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import NamedTuple

from mailsuite.mail.address import AddressError, format_address, normalize_domain, parse_address
from mailsuite.mail.address_list import AddressList, read_authors
from mailsuite.mail.encoded_word import decode_text
from mailsuite.mail.folding import compatible
from mailsuite.mail.header import unfold
from mailsuite.resolver.answers import Answer, Resolver, Status

POLICIES = ("none", "quarantine", "reject")
# §4.10: a name of eight labels or more goes on at seven, so that no walk takes more than eight queries.
LONGEST_STEP = 7
# Identifiers whose organisational domain is looked up; who aligns is among the first, or is nobody.
MAX_IDENTIFIERS = 5
MAX_RECORD_OCTETS = 8192
MAX_FROM_OCTETS = 32 * 1024
# More authors, and domains of theirs, than anybody names: who writes so hides among them (§11.5).
MAX_AUTHORS = 50
MAX_AUTHOR_DOMAINS = 5

_VERSION = re.compile(rb"\s*[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
# §4.8: a URI as RFC 3986 has it, less what must be encoded there; RFC 7489's `!10m` may follow.
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9\-._~:/?#\[\]@$&'()*+;=]|%[0-9A-Fa-f]{2})*(?:![0-9]+[kmgtKMGT]?)?"
)

# What parts addresses in a text, and what stands for a domain in what is none.
_PARTING = re.compile(r'[\s"()<>,;:]+')
_DOMAIN = re.compile(r"\w[\w-]*+(?:\.{1,2}\w[\w-]*+)*+")
# Characters that nobody sees (Default_Ignorable_Code_Point)
_IGNORED = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8]"
)


class TemporaryError(Exception):
    """A look-up failed that the answer hangs on."""


@dataclass(frozen=True, slots=True)
class Record:
    """One policy record (§4.7). `p`, `sp` and `np` are "" where they are missing or say nothing known; `psd` is y, n
    or u; `text` is the record as it was found."""

    text: str
    p: str = ""
    sp: str = ""
    np: str = ""
    adkim: str = "r"
    aspf: str = "r"
    psd: str = "u"
    testing: bool = False
    rua: tuple[str, ...] = ()
    ruf: tuple[str, ...] = ()
    fo: str = "0"
    is_valid: bool = True

    @property
    def asks_nothing(self) -> bool:
        """Whether there is neither a valid policy nor an address for reports: no DMARC at all (§4.10.1)."""
        return not self.is_valid and not self.rua


@dataclass(frozen=True, slots=True)
class Walk:
    """The records on the way from `start` to its top-level domain, longest name first; `failed` are the names whose
    look-up did."""

    start: str
    found: tuple[tuple[str, Record], ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def organizational_domain(self) -> str:
        """§4.10.2."""
        for name, record in self.found:
            if record.psd == "n":
                return name
            if record.psd == "y" and name != self.start:
                return _below(self.start, name)
        return self.found[-1][0] if self.found else self.start

    @property
    def policy(self) -> tuple[str, Record] | None:
        """The record that applies and where it was found (§4.10.1): the domain's own, else the organisational
        domain's, else that of the public suffix above."""
        records = dict(self.found)
        for name in (self.start, self.organizational_domain):
            if name in records:
                return name, records[name]
        name, record = self.found[-1] if self.found else ("", None)
        return (name, record) if record and record.psd == "y" else None


@dataclass(frozen=True, slots=True)
class Identifier:
    """A domain that SPF or DKIM speaks for. `method` is spf or dkim; of `result` only pass and temperror matter."""

    method: str
    domain: str
    result: str


@dataclass(frozen=True, slots=True)
class Author:
    """Whom the message says it is from. `domain` is "" where there is no telling, `problem` says why in words for
    people; `address` is "" too where several addresses share the domain. `addresses` are all, up to MAX_AUTHORS, and
    `domains` theirs, up to MAX_AUTHOR_DOMAINS, those beside `domain` too that a few readers may see in its place;
    `is_crowded` says that there are more."""

    address: str = ""
    domain: str = ""
    problem: str = ""
    addresses: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    is_crowded: bool = False


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


def author(from_values: Sequence[bytes], *, is_bounce: bool = False) -> Author:
    """Return the author by the raw values of the From fields: exactly one field, whose addresses share one domain
    (§5.3.1). What readers may take for an address counts as one, so that nobody can be shown another author than was
    checked. A bounce, which has the null reverse-path, may come from nobody: many hosts write `MAILER-DAEMON` or `<>`,
    or nothing at all."""
    if sum(map(len, from_values)) > MAX_FROM_OCTETS:
        return Author(problem="From is longer than anybody writes it", is_crowded=True)
    values = [unfold(value) for value in from_values]
    lists = [read_authors(value) for value in values]
    claims = list(islice((claim for one in lists for claim in _claimed(one)), MAX_AUTHORS + 1))
    if not claims:  # where no entry has a domain some show the whole as it is when it is decoded
        texts = (decode_text(value, MAX_FROM_OCTETS) for value in values)
        claims = list(islice((claim for text in texts for claim in _claimed_by(text)), MAX_AUTHORS + 1))
    addresses = tuple(dict.fromkeys(claim.address for claim in claims if claim.domain))
    domains = tuple(dict.fromkeys(claim.domain for claim in claims if claim.domain))
    if len(domains) > MAX_AUTHOR_DOMAINS or len(claims) > MAX_AUTHORS or any(one.is_cut for one in lists):
        problem = "From has more addresses than anybody names"
        domains, addresses = domains[:MAX_AUTHOR_DOMAINS], addresses[:MAX_AUTHORS]
        return Author(problem=problem, addresses=addresses, domains=domains, is_crowded=True)
    likely = [claim for claim in claims if claim.domain and claim.is_likely]
    likely = [claim for claim in likely if "." in claim.domain] or likely  # Sales@Acme, Inc. <ann@acme.example>
    problem = _problem(len(values), claims, likely, is_bounce=is_bounce)
    if problem or not likely:
        return Author(problem=problem, addresses=addresses, domains=domains)
    is_one = len({claim.address for claim in likely}) == 1
    address = likely[0].address if is_one else ""
    return Author(address, likely[0].domain, addresses=addresses, domains=domains)


def _problem(fields: int, claims: Sequence["_Claim"], likely: Sequence["_Claim"], *, is_bounce: bool) -> str:
    """Why there is no telling whom a message is from, or "" where there is."""
    if fields > 1:
        return "there is more than one From field"
    if not all(claim.is_plain for claim in claims):
        return "From has an address whose domain is none"
    if len({claim.domain for claim in likely}) > 1:
        return "From has addresses of several domains"
    if likely or is_bounce:
        return ""
    return "From has no address" if fields else "there is no From field"


class _Claim(NamedTuple):
    """Whom readers may take a message to be from. `domain` is "" where there is none in it; `is_plain`: it is one as
    it stands; `is_likely` but for what few would read so."""

    address: str
    domain: str
    is_plain: bool = True
    is_likely: bool = True


def _claimed(found: AddressList) -> Iterator[_Claim]:
    """Some readers decode encoded words before they look for addresses, some take what stands before a second @, or in
    a route, for the address: of `"a@bank.example"@else.example` both are told."""
    for at, entry in enumerate((*found.entries, *found.others)):
        if entry.domain is None:  # the name or the end of a group
            continue
        local_part, domain = _text(entry.local_part), _text(entry.domain)
        if domain:
            known, is_one = _domain(domain)
            is_plain, is_likely = is_one and domain.encode() == entry.domain, at < len(found.entries)
            yield _Claim(format_address(local_part, known), known, is_plain or not is_likely, is_likely)
        words = f"{_text(entry.route if domain else entry.name)} {local_part}"
        if "@" in words or not words.isascii():
            yield from _claimed_by(words)


def _claimed_by(text: str) -> Iterator[_Claim]:
    for word in _PARTING.split(compatible(text)):
        for local_part, at in pairwise(islice(word.split("@"), MAX_AUTHORS + 2)):
            if at:
                domain, _ = _domain(at)
                yield _Claim(format_address(local_part, domain), domain)


def _text(value: bytes | None) -> str:
    return decode_text(value, MAX_FROM_OCTETS) if value else ""


def _domain(text: str) -> tuple[str, bool]:
    """The domain that readers may see there, "" for none, and whether the text is one."""
    try:
        if text.startswith("["):
            return parse_address(f"x@{text}").domain, True
        return normalize_domain(text.removesuffix("."), allow_underscores=True), True
    except AddressError:
        pass
    match = _DOMAIN.search(_IGNORED.sub("", compatible(text)))
    try:
        return (normalize_domain(match[0].replace("..", "."), allow_underscores=True) if match else ""), False
    except AddressError:
        return "", False


def parse_record(text: bytes) -> Record | None:
    """Return the policy record, or None when the text is none: v=DMARC1 must come first, to the letter (§4.7). What
    is unknown or malformed after it is passed over."""
    if len(text) > MAX_RECORD_OCTETS or not _VERSION.match(text):
        return None
    decoded = text.decode("utf-8", "replace").strip()
    tags: dict[str, str] = {}
    for part in decoded.split(";")[1:]:
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    policies = {name: tags[name].lower() for name in ("p", "sp", "np") if name in tags}
    return Record(
        text=decoded,
        **{name: value if value in POLICIES else "" for name, value in policies.items()},
        adkim=_one_of(tags, "adkim", "rs"),
        aspf=_one_of(tags, "aspf", "rs"),
        psd=_one_of(tags, "psd", "uyn"),
        testing=_one_of(tags, "t", "ny") == "y",
        rua=_addresses(tags.get("rua", "")),
        ruf=_addresses(tags.get("ruf", "")),
        fo=tags.get("fo", "0"),
        is_valid="p" in policies and all(value in POLICIES for value in policies.values()),
    )


def walk_names(domain: str) -> list[str]:
    """Return the names that a walk from the domain asks about, less `_dmarc.`, in order: eight at most (§4.10)."""
    labels = domain.split(".")
    names = [domain]
    labels = labels[-LONGEST_STEP:] if len(labels) > LONGEST_STEP else labels[1:]
    while labels:
        names.append(".".join(labels))
        labels = labels[1:]
    return names


async def walk(resolver: Resolver, domain: str) -> Walk:
    """Return what is found on the way up from the domain. A set of several records counts as none."""
    found: list[tuple[str, Record]] = []
    failed: list[str] = []
    for name in walk_names(domain):
        answer = await resolver.query(f"_dmarc.{name}", "TXT")
        if answer.status is Status.TEMPERROR:
            failed.append(name)
        elif record := _single(answer):
            found.append((name, record))
            if record.psd in "yn":
                break
    return Walk(domain, tuple(found), tuple(failed))


async def evaluate(resolver: Resolver, *, author: Author, identifiers: Sequence[Identifier]) -> DmarcOutcome:
    """Return the outcome for a message with this author, whom SPF and DKIM speak for as the identifiers say."""
    if author.problem:
        return DmarcOutcome("permerror", reason=author.problem)
    if not author.domain or author.domain.startswith("["):
        return DmarcOutcome("none", reason="an address literal" if author.domain else "From names no domain")
    found = await walk(resolver, author.domain)
    outcome = DmarcOutcome("none", author.domain, organizational_domain=found.organizational_domain)
    if found.failed and author.domain not in dict(found.found):
        return replace(outcome, result="temperror", reason=f"_dmarc.{found.failed[0]} could not be looked up")
    if found.policy is None or found.policy[1].asks_nothing:
        reason = "the record has no valid policy" if found.policy else "no DMARC record"
        return replace(outcome, reason=reason)
    policy_domain, record = found.policy
    outcome = replace(outcome, policy_domain=policy_domain, record=record.text, testing=record.testing)
    aligner = _Aligner(resolver, found, record)
    aligned = [one for one in identifiers if one.result == "pass" and await aligner.aligns(one)]
    try:
        policy = await _policy(resolver, author.domain, policy_domain, record)
    except TemporaryError as error:
        if not aligned:
            return replace(outcome, result="temperror", reason=str(error))
        policy = record.sp or record.p or "none"
    outcome = replace(
        outcome,
        policy=policy,
        aligned_spf=any(one.method == "spf" for one in aligned),
        aligned_dkim=tuple(dict.fromkeys(one.domain for one in aligned if one.method == "dkim")),
    )
    if aligned:
        return replace(outcome, result="pass")
    if doubt := aligner.doubt or await aligner.doubtful(identifiers):
        return replace(outcome, result="temperror", reason=doubt)
    asked = _softer(policy) if record.testing else policy
    return replace(outcome, result="fail", disposition_asked=asked, reason=_why(identifiers, author.domain))


def strictest(outcomes: Sequence[DmarcOutcome], otherwise: DmarcOutcome) -> DmarcOutcome:
    """Return the outcome for a message that names, or may be taken to name, authors of these outcomes: of those that
    fail the one that asks for most (§11.5), else `otherwise`."""
    asking = [one for one in outcomes if one.result == "fail" and one.disposition_asked != "none"]
    return max(asking, key=lambda one: POLICIES.index(one.disposition_asked)) if asking else otherwise


@dataclass(slots=True)
class _Aligner:
    """Which identifiers speak for the author (§4.4). `doubt` says which look-up a no hangs on."""

    resolver: Resolver
    author: Walk
    record: Record
    doubt: str = ""
    known: dict[str, bool] = field(default_factory=dict)

    async def aligns(self, identifier: Identifier) -> bool:
        mode = self.record.aspf if identifier.method == "spf" else self.record.adkim
        domain = identifier.domain.lower().rstrip(".")
        if domain == self.author.start:
            return True
        if mode == "s" or not _related(domain, self.author.start):
            return False
        if self.author.failed:
            self.doubt = f"_dmarc.{self.author.failed[0]} could not be looked up"
            return False
        organization = self.author.organizational_domain
        # An organisational domain is the domain itself or above it.
        if domain != organization and not domain.endswith(f".{organization}"):
            return False
        if domain not in self.known and len(self.known) < MAX_IDENTIFIERS:
            self.known[domain] = await self._belongs_to(organization, domain)
        return self.known.get(domain, False)

    async def _belongs_to(self, organization: str, domain: str) -> bool:
        found = await walk(self.resolver, domain)
        if found.failed:
            self.doubt = f"_dmarc.{found.failed[0]} could not be looked up"
            return False
        return found.organizational_domain == organization

    async def doubtful(self, identifiers: Sequence[Identifier]) -> str:
        """Why a check that could not be made might have spoken for the author, or ""."""
        for one in identifiers:
            if one.result == "temperror" and (await self.aligns(one) or self.doubt):
                return f"{one.method} of {one.domain} could not be checked"
        return ""


async def _policy(resolver: Resolver, domain: str, policy_domain: str, record: Record) -> str:
    """What is published for the domain (§4.10.1). Raises TemporaryError when it hangs on whether the domain exists."""
    if not record.is_valid:
        return "none"
    if domain == policy_domain:
        return record.p
    policy = record.sp or record.p
    if not record.np or record.np == policy:
        return policy
    # Only NXDOMAIN says that a name does not exist, whatever type is asked (RFC 8020).
    status = (await resolver.query(domain, "A")).status
    if status is Status.TEMPERROR:
        raise TemporaryError(f"{domain} could not be looked up")
    return record.np if status is Status.NXDOMAIN else policy


def _single(answer: Answer) -> Record | None:
    """The record, if there is exactly one: several are discarded (§4.10)."""
    texts = [text for text in answer.rdata if isinstance(text, bytes)]
    records = [record for text in texts if (record := parse_record(text))]
    return records[0] if len(records) == 1 else None


def _below(domain: str, suffix: str) -> str:
    """The name one label below the suffix, on the way to the domain."""
    return ".".join(domain.split(".")[-(suffix.count(".") + 2) :])


def _related(domain: str, other: str) -> bool:
    """Whether the domains can have an organisational domain in common at all."""
    return bool(domain) and domain.rpartition(".")[2] == other.rpartition(".")[2]


def _one_of(tags: Mapping[str, str], name: str, values: str) -> str:
    """The tag's value when it is one of the letters, else the first, which is the default."""
    value = tags.get(name, "").lower()
    return value if len(value) == 1 and value in values else values[0]


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(uri for part in text.split(",") if _URI.fullmatch(uri := part.strip()))


def _softer(policy: str) -> str:
    """What t=y asks for instead (§4.7)."""
    return POLICIES[max(0, POLICIES.index(policy) - 1)]


def _why(identifiers: Sequence[Identifier], domain: str) -> str:
    passed = sorted({f"{one.method} for {one.domain}" for one in identifiers if one.result == "pass"})
    if not passed:
        return "neither SPF nor DKIM passes"
    return f"{', '.join(passed[:MAX_IDENTIFIERS])} passes, but is not {domain}'s"
