"""The rule of who gets mail, as tables over a directory in memory."""

import pytest

from mailsuite.directory.resolution import (
    MAX_DEPTH,
    MAX_STEPS,
    AliasEntry,
    DomainEntry,
    Kind,
    MailboxEntry,
    by_weight,
    pattern_matches,
    resolve,
)
from mailsuite.mail.address import Address, parse_address


class Directory:
    """Mailboxes and aliases of example.org, which is also example.net; disabled.example; the host mail.example.com."""

    def __init__(self, mailboxes=(), aliases=None, off=()):
        self.aliases = aliases or {}
        self.rows = {}
        for number, address in enumerate(mailboxes, 1):
            self.rows[address] = MailboxEntry(number, 1, number, address, 0, "active")
        for number, (address, targets) in enumerate(self.aliases.items(), 100):
            kind = "catch-all" if address.startswith("@") else "pattern" if "*" in address else "address"
            self.rows[address] = AliasEntry(number, 1, address, kind, address not in off, True, tuple(targets))

    def domain(self, name):
        if name == "disabled.example":
            return DomainEntry(2, name, name, is_disabled=True)
        if name not in ("example.org", "example.net"):
            return None
        patterns = by_weight([address for address in self.aliases if "*" in address])
        return DomainEntry(1, name, "example.org", False, patterns, "@example.org" * ("@example.org" in self.aliases))

    def entries(self, keys):
        return {key: self.rows[key] for key in keys if key in self.rows}

    def role_mailbox(self, domain_id):
        return next((row for row in self.rows.values() if isinstance(row, MailboxEntry)), None)

    def is_own_host(self, domain):
        return domain == "mail.example.com"


FULL = Directory(
    ["ann@example.org", "bob@example.org", "dot+ted@example.org"],
    {
        "info@example.org": ["ann@example.org", "carol@remote.example"],
        "all@example.org": ["info@example.org", "bob@example.org"],
        "lists@example.org": ["ann+lists@example.org"],
        "admin@example.org": ["admin@mail.example.com"],
        "off@example.org": ["ann@example.org"],
        "dead@example.org": ["nobody@example.org"],
        "sleepy@example.org": ["x@disabled.example"],
        "sales-*@example.org": ["bob@example.org"],
        "sales-eu-*@example.org": ["ann@example.org"],
    },
    off=["off@example.org"],
)


@pytest.mark.parametrize(
    ("address", "kind", "local", "remote"),
    [
        ("ann@example.org", Kind.RESOLVED, ["ann@example.org"], []),
        ("ANN@Example.ORG", Kind.RESOLVED, ["ann@example.org"], []),
        ("ann@example.net", Kind.RESOLVED, ["ann@example.org"], []),
        ("ann+shop@example.org", Kind.RESOLVED, ["ann@example.org"], []),
        ("dot+ted@example.org", Kind.RESOLVED, ["dot+ted@example.org"], []),
        ("info@example.org", Kind.RESOLVED, ["ann@example.org"], ["carol@remote.example"]),
        ("info@example.net", Kind.RESOLVED, ["ann@example.org"], ["carol@remote.example"]),
        ("all@example.org", Kind.RESOLVED, ["ann@example.org", "bob@example.org"], ["carol@remote.example"]),
        ("sales-uk@example.org", Kind.RESOLVED, ["bob@example.org"], []),
        ("sales-eu-de@example.org", Kind.RESOLVED, ["ann@example.org"], []),
        ("sales-@example.org", Kind.RESOLVED, ["bob@example.org"], []),
        ("admin@example.org", Kind.RESOLVED, ["ann@example.org"], []),
        ("postmaster@example.org", Kind.RESOLVED, ["ann@example.org"], []),
        ("Postmaster@mail.example.com", Kind.RESOLVED, ["ann@example.org"], []),
        ("off@example.org", Kind.UNKNOWN, [], []),
        ("dead@example.org", Kind.UNKNOWN, [], []),
        ("sleepy@example.org", Kind.UNKNOWN, [], []),
        ("nobody@example.org", Kind.UNKNOWN, [], []),
        ("x@disabled.example", Kind.DISABLED, [], []),
        ("x@elsewhere.example", Kind.UNHOSTED, [], []),
        ("ann@mail.example.com", Kind.UNHOSTED, [], []),
    ],
)
def test_who_gets_it(address, kind, local, remote):
    found = resolve(parse_address(address), FULL)
    assert (found.kind, [target.address for target in found.local], list(found.remote)) == (kind, local, remote)


def test_bare_postmaster_is_never_unknown_while_there_is_a_mailbox():
    assert resolve(Address("postmaster", ""), FULL).local[0].address == "ann@example.org"
    assert resolve(Address("postmaster", ""), Directory()).kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("address", "detail"),
    [("ann@example.org", None), ("ann+shop@example.org", "shop"), ("lists@example.org", "lists"),
     ("lists+own@example.org", "lists"), ("info+own@example.org", "own"), ("ann+@example.org", "")],
)  # fmt: skip
def test_detail_is_a_hint_for_the_folder(address, detail):
    assert resolve(parse_address(address), FULL).local[0].detail == detail


def test_catch_all_comes_last_and_spares_what_was_switched_off():
    directory = Directory(
        ["ann@example.org", "bob@example.org"],
        {"@example.org": ["bob@example.org"], "off@example.org": ["ann@example.org"]},
        off=["off@example.org"],
    )
    assert resolve(parse_address("ann+x@example.org"), directory).local[0].address == "ann@example.org"
    assert resolve(parse_address("anything@example.org"), directory).local[0].address == "bob@example.org"
    assert resolve(parse_address("off@example.org"), directory).kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("address", "reports", "local"),
    [
        ("dmarc-reports@example.org", [("dmarc", "dmarc-reports@example.org")], []),
        ("DMARC-Reports+x@example.net", [("dmarc", "DMARC-Reports+x@example.net")], []),
        ("tls-reports@example.org", [("tls", "tls-reports@example.org")], ["ann@example.org"]),
        ("rua@example.org", [("dmarc", "dmarc-reports@example.org")], ["ann@example.org"]),
        ("dmarc-reports2@example.org", [], ["bob@example.org"]),
    ],
)
def test_report_addresses_are_read_beside_a_mailbox_of_that_name_but_by_no_catch_all(address, reports, local):
    directory = Directory(
        ["ann@example.org", "bob@example.org"],
        {
            "@example.org": ["bob@example.org"],
            "*-reports@example.org": ["bob@example.org"],
            "tls-reports@example.org": ["ann@example.org"],
            "rua@example.org": ["dmarc-reports@example.org", "ann@example.org"],
        },
    )
    found = resolve(parse_address(address), directory)
    assert (found.kind, found.domain_id) == (Kind.RESOLVED, 1)
    assert [(target.kind, target.address) for target in found.reports] == reports
    assert [target.address for target in found.local] == local


def test_report_addresses_of_a_disabled_domain_take_nothing():
    assert resolve(parse_address("dmarc-reports@disabled.example"), Directory()).kind is Kind.DISABLED


def test_a_loop_ends_and_the_rest_is_delivered():
    directory = Directory(
        ["ann@example.org"],
        {"a@example.org": ["b@example.org", "ann@example.org"], "b@example.org": ["a@example.org"],
         "c@example.org": ["c+more@example.org"]},
    )  # fmt: skip
    found = resolve(parse_address("a@example.org"), directory)
    assert [target.address for target in found.local] == ["ann@example.org"]
    assert "loop" in [step.by for step in found.chain]
    assert resolve(parse_address("c@example.org"), directory).reason == "alias-loop"


def test_depth_is_limited():
    aliases = {f"a{n}@example.org": [f"a{n + 1}@example.org"] for n in range(MAX_DEPTH + 1)}
    aliases[f"a{MAX_DEPTH + 1}@example.org"] = ["ann@example.org"]
    directory = Directory(["ann@example.org"], aliases)
    assert resolve(parse_address("a0@example.org"), directory).kind is Kind.UNKNOWN
    assert resolve(parse_address("a2@example.org"), directory).kind is Kind.RESOLVED


def test_width_is_limited():
    wide = {f"l{n}@example.org": [f"u{n}x{m}@remote.example" for m in range(500)] for n in range(4)}
    directory = Directory([], wide | {"all@example.org": list(wide)})
    found = resolve(parse_address("all@example.org"), directory)
    assert len(found.remote) == 1000
    assert [step.address for step in found.chain if step.by == "too-many"] == ["u2x0@remote.example"]
    full = resolve(
        parse_address("all@example.org"),
        Directory([], wide | {"all@example.org": ["l0@example.org", "l1@example.org"]}),
    )
    assert len(full.remote) == 1000 and not [step for step in full.chain if step.by == "too-many"]


def ladder(steps, last):
    """Aliases in steps of ten, each of which leads to all of the next: so that there are 10 ** steps ways."""
    return {
        f"a{step}x{n}@example.org": [f"a{step + 1}x{m}@example.org" for m in range(10)] if step + 1 < steps else last
        for step in range(steps)
        for n in range(10)
    }


@pytest.mark.parametrize(
    ("last", "kind"), [(["ann@example.org"], Kind.RESOLVED), (["off@example.org"], Kind.UNKNOWN)], ids=["live", "dead"]
)
def test_aliases_that_lead_to_one_another_in_many_ways_are_followed_once(last, kind, monkeypatch):
    asked = []
    directory = Directory(
        ["ann@example.org"], ladder(9, last) | {"off@example.org": ["ann@example.org"]}, off=["off@example.org"]
    )
    entries = directory.entries
    monkeypatch.setattr(directory, "entries", lambda keys: asked.append(keys) or entries(keys))
    assert resolve(parse_address("a0x0@example.org"), directory).kind is kind
    assert len(asked) < 1000


def test_an_alias_met_again_nearer_is_followed_as_far_as_it_leads():
    far = {f"a{n}@example.org": [f"a{n + 1}@example.org"] for n in range(MAX_DEPTH)}
    # By way of a1 the chain is cut one alias short; straight from the start it is whole.
    aliases = far | {
        f"a{MAX_DEPTH}@example.org": ["ann@example.org"],
        "a0@example.org": ["a1@example.org", "a2@example.org"],
    }
    found = resolve(parse_address("a0@example.org"), Directory(["ann@example.org"], aliases))
    assert [target.address for target in found.local] == ["ann@example.org"]


def test_dead_ends_are_followed_no_further_than_anybody_needs():
    aliases = {f"l{n}@example.org": [f"no{n}x{m}@example.org" for m in range(1000)] for n in range(1000)}
    found = resolve(parse_address("all@example.org"), Directory([], aliases | {"all@example.org": list(aliases)}))
    assert found.kind is Kind.UNKNOWN and len(found.chain) <= MAX_STEPS + 1


def test_chain_tells_each_step():
    steps = [
        (step.address, step.by, len(step.targets)) for step in resolve(parse_address("all@example.org"), FULL).chain
    ]
    assert steps == [("all@example.org", "alias", 2), ("info@example.org", "alias", 2)]


def test_patterns_match_literally_but_for_the_star():
    assert pattern_matches("a.b-*@example.org", "a.b-c@example.org")
    assert not pattern_matches("a.b-*@example.org", "axb-c@example.org")
    assert not pattern_matches("*-x@example.org", "a-x@example.org.evil")
