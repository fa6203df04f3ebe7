"""RFC 9989, rule by rule: over an in-memory zone, over a real DNS server, and beside mailauth."""

import asyncio
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from dns_server import DnsServer

from mailsuite.mailauth.dmarc import (
    Author,
    DmarcOutcome,
    Identifier,
    author,
    evaluate,
    parse_record,
    strictest,
    walk_names,
)
from mailsuite.resolver.answers import Answer, Status, ZoneResolver
from mailsuite.resolver.dns_resolver import DnsResolver

BASE = Path(__file__).resolve().parent.parent.parent
NODE = BASE / ".oracles" / "node_modules"


@dataclass
class Case:
    """`zone` maps a name to its TXT, `_dmarc.` left out where it begins with none; an A record makes a name exist."""

    name: str
    zone: dict[str, str | list[str]]
    author: str
    result: str
    spf: str = ""
    dkim: str = ""
    policy: str = ""
    policy_domain: str = ""
    organization: str = ""
    asked: str = "none"
    differs: str = ""  # why mailauth says something else

    @property
    def records(self) -> dict[tuple[str, str], list[str] | str]:
        found: dict[tuple[str, str], list[str] | str] = {}
        for owner, value in self.zone.items():
            if owner.startswith("A "):
                found[(owner[2:], "A")] = value if value == "servfail" else ["192.0.2.1"]
            else:
                texts = value if isinstance(value, list) else [value]
                found[(f"_dmarc.{owner}", "TXT")] = "servfail" if value == "servfail" else texts
        return found


REJECT = "v=DMARC1; p=reject"
EIGHT = "a.b.c.d.e.f.g.example.com"
CASES = [
    Case("no record is no DMARC", {}, "example.com", "none", organization="example.com"),
    Case(
        "own record, aligned by SPF",
        {"example.com": REJECT},
        "example.com",
        "pass",
        spf="example.com",
        policy="reject",
        policy_domain="example.com",
    ),
    Case(
        "own record, aligned by DKIM",
        {"example.com": REJECT},
        "example.com",
        "pass",
        dkim="example.com",
        policy="reject",
    ),
    Case(
        "own record, nobody speaks for it",
        {"example.com": REJECT},
        "example.com",
        "fail",
        policy="reject",
        asked="reject",
    ),
    Case(
        "others pass, which are not the author's",
        {"example.com": REJECT},
        "example.com",
        "fail",
        spf="evil.test",
        dkim="evil.test",
        policy="reject",
        asked="reject",
    ),
    Case(
        "quarantine is asked for",
        {"example.com": "v=DMARC1; p=quarantine"},
        "example.com",
        "fail",
        policy="quarantine",
        asked="quarantine",
    ),
    Case("none asks for nothing", {"example.com": "v=DMARC1; p=none"}, "example.com", "fail", policy="none"),
    # §4.7: tags
    Case(
        "t=y is one level softer: reject",
        {"example.com": "v=DMARC1; p=reject; t=y"},
        "example.com",
        "fail",
        policy="reject",
        asked="quarantine",
        differs="policy",
    ),
    Case(
        "t=y is one level softer: quarantine",
        {"example.com": "v=DMARC1; p=quarantine; t=y"},
        "example.com",
        "fail",
        policy="quarantine",
        asked="none",
        differs="policy",
    ),
    Case(
        "t=n changes nothing",
        {"example.com": "v=DMARC1; p=reject; t=n"},
        "example.com",
        "fail",
        policy="reject",
        asked="reject",
    ),
    Case(
        "pct, ri and rf are ignored",
        {"example.com": "v=DMARC1; p=reject; pct=0; ri=1; rf=x"},
        "example.com",
        "fail",
        policy="reject",
        asked="reject",
    ),
    Case(
        "values know no case",
        {"example.com": "V=DMARC1;P=Reject;ASPF=S"},
        "example.com",
        "fail",
        spf="a.example.com",
        policy="reject",
        asked="reject",
    ),
    Case(
        "space around =",
        {"example.com": "v = DMARC1 ; p = reject ; adkim = s"},
        "example.com",
        "fail",
        dkim="a.example.com",
        policy="reject",
        asked="reject",
    ),
    Case("DMARC1 to the letter", {"example.com": "v=dmarc1; p=reject"}, "example.com", "none"),
    Case("v must come first", {"example.com": "p=reject; v=DMARC1"}, "example.com", "none"),
    Case("no other version", {"example.com": "v=DMARC10; p=reject"}, "example.com", "none"),
    Case(
        "unknown tags are passed over",
        {"example.com": "v=DMARC1; x=y; nonsense; p=reject"},
        "example.com",
        "fail",
        policy="reject",
        asked="reject",
    ),
    Case(
        "order of tags is free",
        {"example.com": "v=DMARC1; aspf=s; p=reject"},
        "example.com",
        "fail",
        spf="a.example.com",
        policy="reject",
        asked="reject",
    ),
    # §4.10.1: what has no valid policy
    Case(
        "no p, but reports wanted: none",
        {"example.com": "v=DMARC1; rua=mailto:r@example.com"},
        "example.com",
        "fail",
        policy="none",
    ),
    Case("no p and no reports: no DMARC", {"example.com": "v=DMARC1"}, "example.com", "none"),
    Case(
        "p unknown, reports wanted",
        {"example.com": "v=DMARC1; p=rejct; rua=mailto:r@example.com"},
        "example.com",
        "fail",
        policy="none",
    ),
    Case("p unknown, no valid address", {"example.com": "v=DMARC1; p=rejct; rua=r@example.com"}, "example.com", "none"),
    Case(
        "sp unknown spoils p, reports wanted",
        {"example.com": "v=DMARC1; p=reject; sp=x; rua=mailto:r@example.com"},
        "example.com",
        "fail",
        policy="none",
    ),
    Case("np unknown spoils p, no reports", {"example.com": "v=DMARC1; p=reject; np=x"}, "example.com", "none"),
    Case(
        "a record without policy is not the organisation's either", {"example.com": "v=DMARC1"}, "a.example.com", "none"
    ),
    # §4.10: sets and where they are looked for
    Case("two records are none", {"example.com": [REJECT, "v=DMARC1; p=none"]}, "example.com", "none"),
    Case(
        "two records are none, the walk goes on",
        {"a.example.com": [REJECT, "v=DMARC1; p=none"], "example.com": REJECT},
        "a.example.com",
        "fail",
        policy="reject",
        policy_domain="example.com",
        asked="reject",
    ),
    Case(
        "other TXT beside it does not matter",
        {"example.com": ["v=spf1 -all", REJECT]},
        "example.com",
        "fail",
        policy="reject",
        asked="reject",
    ),
    Case(
        "a subdomain has the organisation's p",
        {"example.com": REJECT, "A a.example.com": ""},
        "a.example.com",
        "fail",
        policy="reject",
        policy_domain="example.com",
        organization="example.com",
        asked="reject",
    ),
    Case(
        "sp for a subdomain",
        {"example.com": "v=DMARC1; p=reject; sp=none", "A a.example.com": ""},
        "a.example.com",
        "fail",
        policy="none",
    ),
    Case(
        "sp is not for the domain itself",
        {"example.com": "v=DMARC1; p=reject; sp=none"},
        "example.com",
        "fail",
        policy="reject",
        asked="reject",
    ),
    Case(
        "np for what does not exist",
        {"example.com": "v=DMARC1; p=none; sp=none; np=reject"},
        "a.example.com",
        "fail",
        policy="reject",
        asked="reject",
    ),
    Case(
        "np not for what exists",
        {"example.com": "v=DMARC1; p=none; np=reject", "A a.example.com": ""},
        "a.example.com",
        "fail",
        policy="none",
    ),
    Case(
        "a name with names below exists",
        {"example.com": "v=DMARC1; p=none; np=reject", "A b.a.example.com": ""},
        "a.example.com",
        "fail",
        policy="none",
    ),
    Case(
        "np missing: sp",
        {"example.com": "v=DMARC1; p=none; sp=reject"},
        "a.example.com",
        "fail",
        policy="reject",
        asked="reject",
    ),
    Case(
        "own record before the organisation's",
        {"a.example.com": "v=DMARC1; p=none", "example.com": REJECT},
        "a.example.com",
        "fail",
        policy="none",
        policy_domain="a.example.com",
        organization="example.com",
    ),
    Case(
        "records between are not the policy",
        {"b.example.com": "v=DMARC1; p=none", "example.com": REJECT},
        "a.b.example.com",
        "fail",
        policy="reject",
        policy_domain="example.com",
        asked="reject",
    ),
    Case(
        "the policy needs no top-level domain",
        {"com": REJECT},
        "example.com",
        "fail",
        policy="reject",
        policy_domain="com",
        organization="com",
        asked="reject",
    ),
    Case("nine labels: the walk jumps to seven", {"b.c.d.e.f.g.example.com": REJECT}, EIGHT, "none"),
    Case(
        "nine labels: seven are asked",
        {"c.d.e.f.g.example.com": REJECT},
        EIGHT,
        "fail",
        policy="reject",
        policy_domain="c.d.e.f.g.example.com",
        asked="reject",
    ),
    # §4.10.2: the organisational domain
    Case(
        "psd=n is the organisation",
        {"a.example.com": "v=DMARC1; p=reject; psd=n", "example.com": REJECT},
        "a.example.com",
        "fail",
        dkim="example.com",
        policy="reject",
        organization="a.example.com",
        asked="reject",
    ),
    Case(
        "below psd=n there is alignment",
        {"a.example.com": "v=DMARC1; p=reject; psd=n"},
        "b.a.example.com",
        "pass",
        dkim="c.a.example.com",
        policy="reject",
        organization="a.example.com",
    ),
    Case(
        "below psd=y is the organisation",
        {"co.test": "v=DMARC1; p=reject; psd=y", "bank.co.test": REJECT},
        "a.bank.co.test",
        "pass",
        dkim="b.bank.co.test",
        policy="reject",
        organization="bank.co.test",
    ),
    Case(
        "psd=y: others below are not aligned",
        {"co.test": "v=DMARC1; p=reject; psd=y"},
        "a.bank.co.test",
        "fail",
        dkim="other.co.test",
        policy="reject",
        policy_domain="co.test",
        organization="bank.co.test",
        asked="reject",
    ),
    Case(
        "psd=y: its own domain is not aligned",
        {"co.test": "v=DMARC1; p=reject; psd=y"},
        "bank.co.test",
        "fail",
        dkim="co.test",
        policy="reject",
        policy_domain="co.test",
        asked="reject",
    ),
    Case(
        "the public suffix itself as author",
        {"co.test": "v=DMARC1; p=reject; psd=y"},
        "co.test",
        "pass",
        dkim="co.test",
        policy="reject",
        organization="co.test",
    ),
    Case(
        "psd=y: sp is for those below",
        {"co.test": "v=DMARC1; p=none; sp=reject; psd=y"},
        "bank.co.test",
        "fail",
        policy="reject",
        policy_domain="co.test",
        asked="reject",
    ),
    Case(
        "psd=y: np is for what nobody registered",
        {"co.test": "v=DMARC1; p=none; np=reject; psd=y"},
        "nobody.co.test",
        "fail",
        policy="reject",
        asked="reject",
    ),
    Case(
        "psd=u goes on",
        {"a.example.com": "v=DMARC1; p=reject; psd=u", "example.com": REJECT},
        "a.example.com",
        "pass",
        dkim="example.com",
        policy="reject",
        organization="example.com",
    ),
    Case(
        "the shortest name is the organisation",
        {"a.example.com": REJECT, "example.com": REJECT},
        "a.example.com",
        "pass",
        spf="b.example.com",
        policy="reject",
        organization="example.com",
    ),
    # §4.4: alignment
    Case(
        "relaxed: the parent speaks for a subdomain",
        {"example.com": REJECT},
        "a.example.com",
        "pass",
        dkim="example.com",
        policy="reject",
    ),
    Case(
        "relaxed: a subdomain speaks for the parent",
        {"example.com": REJECT},
        "example.com",
        "pass",
        spf="bounce.example.com",
        policy="reject",
    ),
    Case(
        "relaxed: a subdomain that is its own organisation",
        {"example.com": REJECT, "a.example.com": "v=DMARC1; p=none; psd=n"},
        "example.com",
        "fail",
        spf="a.example.com",
        policy="reject",
        asked="reject",
    ),
    Case(
        "strict SPF",
        {"example.com": "v=DMARC1; p=reject; aspf=s"},
        "example.com",
        "fail",
        spf="a.example.com",
        policy="reject",
        asked="reject",
    ),
    Case(
        "strict SPF, the same",
        {"example.com": "v=DMARC1; p=reject; aspf=s"},
        "example.com",
        "pass",
        spf="example.com",
        policy="reject",
    ),
    Case(
        "strict DKIM",
        {"example.com": "v=DMARC1; p=reject; adkim=s"},
        "example.com",
        "fail",
        dkim="a.example.com",
        policy="reject",
        asked="reject",
    ),
    Case(
        "strict DKIM leaves SPF relaxed",
        {"example.com": "v=DMARC1; p=reject; adkim=s"},
        "example.com",
        "pass",
        spf="a.example.com",
        policy="reject",
    ),
    Case(
        "a domain that only ends alike",
        {"example.com": REJECT},
        "example.com",
        "fail",
        dkim="notexample.com",
        policy="reject",
        asked="reject",
    ),
    Case("case does not matter", {"example.com": REJECT}, "Example.COM", "pass", dkim="EXAMPLE.com", policy="reject"),
    # Look-ups that fail
    Case("the author's record can't be had", {"example.com": "servfail"}, "example.com", "temperror"),
    Case("the organisation's record can't be had", {"example.com": "servfail"}, "a.example.com", "temperror"),
    Case(
        "above a record found it does not matter, aligned",
        {"example.com": REJECT, "com": "servfail"},
        "example.com",
        "pass",
        dkim="example.com",
        policy="reject",
    ),
    Case(
        "above a record found it matters, relaxed",
        {"example.com": REJECT, "com": "servfail"},
        "example.com",
        "temperror",
        dkim="a.example.com",
        policy="reject",
    ),
    Case(
        "above a record found it does not matter, strict",
        {"example.com": "v=DMARC1; p=reject; adkim=s", "com": "servfail"},
        "example.com",
        "fail",
        dkim="a.example.com",
        policy="reject",
        asked="reject",
    ),
    Case(
        "whether it exists can't be had",
        {"example.com": "v=DMARC1; p=none; np=reject", "A a.example.com": "servfail"},
        "a.example.com",
        "temperror",
    ),
    Case(
        "psd stops before what fails",
        {"example.com": "v=DMARC1; p=reject; psd=n", "com": "servfail"},
        "a.example.com",
        "fail",
        policy="reject",
        asked="reject",
    ),
]
IDS = [case.name for case in CASES]


def identifiers(case: Case) -> list[Identifier]:
    found = [Identifier("spf", case.spf, "pass")] if case.spf else []
    return found + ([Identifier("dkim", case.dkim, "pass")] if case.dkim else [])


def check(case: Case, resolver) -> None:
    who = author([f" <x@{case.author}>".encode()])
    outcome = asyncio.run(evaluate(resolver, author=who, identifiers=identifiers(case)))
    assert outcome.result == case.result, outcome
    assert outcome.disposition_asked == case.asked
    if outcome.result != "temperror":
        assert outcome.policy == case.policy
    if case.policy_domain:
        assert outcome.policy_domain == case.policy_domain
    if case.organization:
        assert outcome.organizational_domain == case.organization
    assert (outcome.aligned_spf or bool(outcome.aligned_dkim)) is (case.result == "pass")


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_rule(case):
    zone = {
        key: Answer(Status.TEMPERROR) if value == "servfail" else [v.encode() if key[1] == "TXT" else v for v in value]
        for key, value in case.records.items()
    }
    resolver = ZoneResolver(zone)
    check(case, resolver)
    assert len([name for name, rdtype in resolver.asked if rdtype == "TXT"]) <= 24


def test_every_rule_again_through_a_dns_server():
    """The same over UDP and dnspython, one server whose records change."""
    with DnsServer() as server:
        for case in CASES:
            server.records = {
                key: value if isinstance(value, str) else [f'"{v}"' if key[1] == "TXT" else v for v in value]
                for key, value in case.records.items()
            }
            check(case, DnsResolver(server.address))


def test_mailauth_agrees():
    node = NODE / ".bin" / "node"
    if not node.exists():
        text = "needs mailauth of npm, with its node, in .oracles (npm install --prefix .oracles node@22 mailauth@7)"
        pytest.fail(text) if os.environ.get("TESTS_SKIP_NOTHING") else pytest.skip(text)
    asked = [
        {
            "zone": {f"{name} {rdtype}": value for (name, rdtype), value in case.records.items()},
            "from": f"x@{case.author}",
            "spf": [case.spf] if case.spf else [],
            "dkim": [case.dkim] if case.dkim else [],
        }
        for case in CASES
    ]
    script = BASE / "tests" / "support" / "dmarc_oracle.js"
    done = subprocess.run(
        [node, script, NODE], input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=True
    )
    differing = [
        (case.name, case.result, case.policy, said)
        for case, said in zip(CASES, json.loads(done.stdout), strict=True)
        if said["result"] != case.result
        or (case.result in ("pass", "fail") and not case.differs and said["policy"] != case.policy)
        or (case.organization and said["domain"] != case.organization)
    ]
    assert differing == []


def test_a_walk_asks_eight_times_at_most():
    names = walk_names(".".join("abcdefghijkl") + ".example.com")
    assert len(names) == 8
    assert names[1] == "h.i.j.k.l.example.com" and names[-1] == "com"


def test_a_crowd_of_identifiers_costs_five_walks():
    resolver = ZoneResolver({("_dmarc.example.com", "TXT"): [b"v=DMARC1; p=reject"]})
    crowd = [Identifier("dkim", f"s{n}.x{n}.example.com", "pass") for n in range(50)]
    crowd = [
        Identifier("spf", "a.evil.com", "pass"),
        *[Identifier("dkim", f"d{n}.evil.com", "pass") for n in range(50)],
        *crowd,
    ]
    outcome = asyncio.run(evaluate(resolver, author=Author("x@example.com", "example.com"), identifiers=crowd))
    assert outcome.result == "pass"
    assert len(resolver.asked) <= 2 + 5 * 4


@pytest.mark.parametrize(
    ("values", "domain", "address"),
    [
        ([b" Ann <ann@example.com>"], "example.com", "ann@example.com"),
        ([b" ann@Example.COM"], "example.com", "ann@example.com"),
        ([b' "x@evil.test" <ann@example.com>'], "example.com", "ann@example.com"),
        ([b" a@example.com, b@EXAMPLE.com"], "example.com", ""),
        ([b" ann@example.com."], "example.com", "ann@example.com"),
        (["ann@bücher.example".encode()], "xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ([b" a@example.com, b@example.org"], "", ""),
        ([b" a@example.com", b" a@example.com"], "", ""),
        ([], "", ""),
        ([b" undisclosed:;"], "", ""),
        ([b" ann@example.com" + b" " * 33_000], "", ""),
        ([b" Doe, Ann <ann@example.com>"], "example.com", "ann@example.com"),
        (["Ann (Sales） <ann@example.com>".encode()], "example.com", "ann@example.com"),
        ([b' "Ann Doe" ann@example.com'], "example.com", "ann@example.com"),
        ([b' "Ann <ann@example.com>'], "example.com", "ann@example.com"),
        ([b" ann@example.com Tan"], "example.com", "ann@example.com"),
        ([b" ann@example.com. Tan"], "example.com", "ann@example.com"),
        ([b" root@[192.0.2.1]"], "[192.0.2.1]", "root@[192.0.2.1]"),
        ([b" ann@example.com@example.org"], "", ""),
        ([b' "ann@example.com"@example.org'], "", ""),
        ([b" ann@example.com, x@-"], "", ""),
        ([b" MAILER-DAEMON"], "", ""),
        ([b" nobody"], "", ""),
        ([b" ann@\xff\xfe"], "", ""),
        (["José <jos\xe9@example.com>".encode("latin-1")], "example.com", "josé@example.com"),
        ([b" <=?utf-8?Q?ann=40example.com?=>"], "example.com", "ann@example.com"),
        ([b" =?utf-8?Q?Ann_<ann=40example.com>?="], "example.com", "ann@example.com"),
        ([b" =?utf-8?Q?ann?=@example.com"], "example.com", "ann@example.com"),
        ([b" Doe, Ann <ann@example.com>, ann@example.com"], "example.com", "ann@example.com"),
        ([b" ann@example.com <ann@example.org>"], "example.org", "ann@example.org"),
        ([b" Sales@Acme, Inc. <ann@example.org>"], "example.org", "ann@example.org"),
        ([b" ann@localhost"], "localhost", "ann@localhost"),
        ([b" <ann@example.com> <bob@evil.test>"], None, None),
    ],
)
def test_the_author_is_one_domain(values, domain, address):
    found = author(values)
    if domain is None:
        # However it is read, it is never half of each.
        assert found.domain in ("", "example.com", "evil.test")
        return
    assert (found.domain, found.address) == (domain, address)
    assert bool(found.problem) is (domain == "")


@pytest.mark.parametrize(
    ("values", "domains", "is_crowded"),
    [
        ([b" a@one.test, b@Two.test, c@one.test"], ("one.test", "two.test"), False),
        ([b" a@one.test", b" b@two.test"], ("one.test", "two.test"), False),
        ([b" a@one.test, x@-"], ("one.test",), False),
        ([b" a@one.test@two.test"], ("one.test", "two.test"), False),
        ([b' "a@one.test"@two.test'], ("two.test", "one.test"), False),
        # Encoded words in an address, which some decode and cut at a NUL.
        ([b" =?utf-8?Q?a=40one.test=00?=@two.test"], ("two.test", "one.test"), False),
        ([b" =?utf-8?B?PGFAb25lLnRlc3Q+?=, <b@two.test>"], ("two.test", "one.test"), False),
        ([b" a@=?utf-8?Q?one.test?="], ("one.test",), False),
        ([b" <@one.test:b@two.test>"], ("two.test", "one.test"), False),
        # A domain that is none as it stands, but is shown as one.
        ([b" a@one.test\x01"], ("one.test",), False),
        ([b" a@one.test.."], ("one.test",), False),
        ([b" a@[one.test]"], ("one.test",), False),
        ([b" a@'one.test'"], ("one.test",), False),
        (["a@one\u00ad.te\u200bst".encode()], ("one.test",), False),
        ([b" a@one.test\\, b@two.test"], ("one.test", "two.test"), False),
        ([b' "a@one.test <"@two.test'], ("two.test", "one.test"), False),
        ([b" x@two.test " + b"w " * 497 + b"a@one.test"], ("two.test", "one.test"), True),
        ([b",".join(b"a@%d.test" % n for n in range(9))], tuple(f"{n}.test" for n in range(5)), True),
        ([b",".join(b"%d@one.test" % n for n in range(99))], ("one.test",), True),
        ([b" ann@one.test" + b" " * 33_000], (), True),
    ],
)
def test_none_of_several_authors_hides(values, domains, is_crowded):
    found = author(values)
    assert (found.domain, found.domains, found.is_crowded) == ("", domains, is_crowded)
    assert found.problem


@pytest.mark.parametrize(
    "value", [b" Mail System <MAILER-DAEMON>", b" <>", b' "Mail System" <>', b"MAILER-DAEMON", b""]
)
def test_a_bounce_may_be_from_nobody(value):
    bounce = author([value], is_bounce=True)
    assert bounce == Author()
    assert author([value]).problem == "From has no address"
    outcome = asyncio.run(evaluate(ZoneResolver({}), author=bounce, identifiers=[]))
    assert outcome.result == "none"
    assert author([], is_bounce=True) == Author()
    for values in ([value, value], [b" a@one.test, b@two.test"]):
        assert author(values, is_bounce=True).problem


@pytest.mark.parametrize(
    "value",
    [
        b"a@one.test", b"=?utf-8?Q?Boss_<a=40one.test>?=", b"=?utf-8?Q?a=40one.test?=", b'"Boss a@one.test" <>',
        b'"a@one.test"', "a\uff20one.test".encode(), b"=?utf-8?B?PGFAb25lLnRlc3Q+?= <>",
    ],
)  # fmt: skip
def test_a_bounce_is_from_whom_it_shows(value):
    assert author([value], is_bounce=True).domains == ("one.test",)


def test_what_few_may_read_is_looked_at_and_makes_nothing_unclear():
    found = author([b" Ann <ann@mail.bank. example>"])
    assert (found.domain, found.address, found.problem) == ("mail.bank", "ann@mail.bank", "")
    assert found.domains == ("mail.bank", "mail.bank.example")


def test_of_several_outcomes_the_strictest_counts():
    strict, mild, none = (
        DmarcOutcome("fail", f"{policy}.test", policy=policy, disposition_asked=policy)
        for policy in ("reject", "quarantine", "none")
    )
    passed, unknown = DmarcOutcome("pass", "far.test"), DmarcOutcome("temperror", "away.test")
    otherwise = DmarcOutcome("permerror", reason="several")
    assert strictest([passed, mild, strict, unknown], otherwise) == strict
    assert strictest([none, mild, passed], otherwise) == mild
    for outcomes in ([], [passed], [passed, none, unknown]):
        assert strictest(outcomes, otherwise) == otherwise


@pytest.mark.parametrize(
    ("result", "domain", "expected"),
    [
        ("temperror", "example.com", "temperror"),
        ("temperror", "evil.test", "fail"),
        ("temperror", "a.example.com", "temperror"),
    ],
)
def test_a_check_that_could_not_be_made_counts_only_where_it_could_have_helped(result, domain, expected):
    resolver = ZoneResolver({("_dmarc.example.com", "TXT"): [b"v=DMARC1; p=reject"]})
    who = Author("x@example.com", "example.com")
    outcome = asyncio.run(evaluate(resolver, author=who, identifiers=[Identifier("dkim", domain, result)]))
    assert outcome.result == expected


def test_unclear_authors_have_no_dmarc():
    outcome = asyncio.run(evaluate(ZoneResolver({}), author=author([]), identifiers=[]))
    assert (outcome.result, outcome.reason) == ("permerror", "there is no From field")


def test_hostile_records_cost_little():
    assert parse_record(b"v=DMARC1; p=reject; " + b"a=b;" * 100_000) is None
    assert parse_record(b"v=DMARC1;" + b" " * 8000) is not None
    assert parse_record(b"v=DMARC1; p=reject; rua=" + b"a:," * 2000).p == "reject"


@pytest.mark.parametrize("hostile", [b".", b".\xff", b"\\\xff", b"@", b"a@"])
def test_hostile_authors_take_time_linear_to_their_length(hostile):
    began = time.process_time()
    author([(hostile * 32_000)[:32_000]])
    assert time.process_time() - began < 2
