"""DMARC (RFC 9989): does the domain in From stand behind the message, and what does it ask for if not?

Policy and organisational domain are found by walking up the DNS tree (§4.10), without a list of public suffixes. A
look-up that failed never makes a message fail: where the answer hung on it, the result is temperror and no policy
applies. What is to be done about a failure is not decided here (mailsuite.verdict).

pct, ri, rf and the sizes of report addresses, of RFC 7489, are ignored (§4.7, §C.7).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailsuite.mail.address import AddressError, format_address, normalize_domain, parse_address
from mailsuite.mail.address_list import ListedAddress, read_authors
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
    `domains` theirs, up to MAX_AUTHOR_DOMAINS; `is_crowded` says that there are more."""

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
    (§5.3.1). A bounce, which has the null reverse-path, may come from nobody: many hosts write `MAILER-DAEMON` or
    `<>`."""
    if sum(map(len, from_values)) > MAX_FROM_OCTETS:
        return Author(problem="From is longer than anybody writes it", is_crowded=True)
    found: list[tuple[str, str]] = []
    problem = "" if len(from_values) == 1 else "there is more than one From field"
    for value in from_values:
        for entry in read_authors(unfold(value)).entries:
            if entry.domain:
                try:
                    found += _identities(entry)
                except (AddressError, UnicodeDecodeError):
                    problem = problem or "From has an address whose domain is none"
    addresses = tuple(dict.fromkeys(address for _, address in found))
    domains = tuple(dict.fromkeys(domain for domain, _ in found))
    if not domains and not problem and is_bounce:
        return Author()
    if len(domains) > 1:
        problem = problem or "From has addresses of several domains"
    if not domains:
        problem = (problem or "From has no address") if from_values else "there is no From field"
    if len(domains) > MAX_AUTHOR_DOMAINS or len(addresses) > MAX_AUTHORS:
        problem = "From has more addresses than anybody names"
        domains, addresses = domains[:MAX_AUTHOR_DOMAINS], addresses[:MAX_AUTHORS]
        return Author(problem=problem, addresses=addresses, domains=domains, is_crowded=True)
    if problem:
        return Author(problem=problem, addresses=addresses, domains=domains)
    return Author(addresses[0] if len(found) == 1 else "", domains[0], addresses=addresses, domains=domains)


def _identities(entry: ListedAddress) -> list[tuple[str, str]]:
    """The domain and the address of an entry; of `a@bank.example@else.example`, which others read otherwise, both
    domains. Raises AddressError or UnicodeDecodeError."""
    local_part, found = (entry.local_part or b"").decode(), []
    for text in (*local_part.split("@")[1:], (entry.domain or b"").decode()):
        if text.startswith("["):
            domain = parse_address(f"x@{text}").domain
        else:
            domain = normalize_domain(text.removesuffix("."), allow_underscores=True)
        found.append((domain, format_address(local_part, domain)))
    return found


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


def strictest(outcomes: Sequence[DmarcOutcome], problem: str) -> DmarcOutcome:
    """Return the outcome for a message that names authors of these outcomes, where `problem` says why there is no
    telling whose it is: of those that fail the one that asks for most (§11.5), else permerror."""
    asking = [one for one in outcomes if one.result == "fail" and one.disposition_asked != "none"]
    if not asking:
        return DmarcOutcome("permerror", reason=problem)
    return max(asking, key=lambda one: POLICIES.index(one.disposition_asked))


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
