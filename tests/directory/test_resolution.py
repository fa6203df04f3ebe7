"""The rule of who gets mail, as tables over a directory in memory."""

from dataclasses import replace

import pytest

from mailsuite.directory.patterns import by_weight, pattern_matches
from mailsuite.directory.resolution import MAX_DEPTH, MAX_STEPS, AliasEntry, DomainEntry, Kind, MailboxEntry
from mailsuite.directory.resolving import resolve
from mailsuite.mail.address import Address, parse_address


class Directory:
    """Mailboxes and aliases of example.org, which is also example.net; disabled.example; the host mail.example.com."""

    def __init__(self, mailboxes=(), aliases=None, off=(), others=()):
        self.aliases = aliases or {}
        self.rows = {}
        self.others = dict(others)
        for number, address in enumerate(mailboxes, 1):
            self.rows[address] = MailboxEntry(number, self._domain_id(address), number, address, 0, "active")
        for number, (address, targets) in enumerate(self.aliases.items(), 100):
            kind = "catch-all" if address.startswith("@") else "pattern" if "*" in address else "address"
            self.rows[address] = AliasEntry(
                number, self._domain_id(address), address, kind, address not in off, True, tuple(targets)
            )

    def _domain_id(self, address):
        return self.others.get(address.rpartition("@")[2], 1)

    def domain(self, name):
        if name == "disabled.example":
            return DomainEntry(2, name, name, is_disabled=True)
        if name in self.others:
            return DomainEntry(self.others[name], name, name, is_disabled=False)
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

    def remember(self, key, load):
        return load()


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
        ("sleepy@example.org", Kind.RESOLVED, [], ["x@disabled.example"]),
        ("nobody@example.org", Kind.UNKNOWN, [], []),
        ("x@disabled.example", Kind.DISABLED, [], []),
        ("x@elsewhere.example", Kind.UNHOSTED, [], []),
        ("ann@mail.example.com", Kind.UNHOSTED, [], []),
    ],
)
def test_who_gets_it(address, kind, local, remote):
    found = resolve(parse_address(address), FULL)
    assert (found.kind, sorted(target.address for target in found.local), list(found.remote)) == (kind, local, remote)


def dead(found):
    return [(end.address, end.reason) for step in found.chain for end in step.dead]


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        (Address("postmaster", ""), [("postmaster", None)]),
        (Address("Abuse", "mail.example.com"), [("Abuse@mail.example.com", None)]),
        (Address("postmaster", "example.org"), [("postmaster@example.org", 1)]),
        (Address("abuse+spam", "example.net"), [("abuse+spam@example.net", 1)]),
        (Address("roles", "example.org"), [("postmaster@example.org", 1), ("postmaster@mail.example.com", None)]),
    ],
)
def test_roles_are_never_unknown_and_their_mail_is_kept_where_nobody_reads_it(address, kept):
    empty = Directory([], {"roles@example.org": ["postmaster@example.org", "x@mail.example.com"]})
    found = resolve(address, empty)
    assert (found.kind, found.local) == (Kind.RESOLVED, ())
    assert [(target.address, target.domain_id) for target in found.kept] == kept


@pytest.mark.parametrize("off", [(), ("abuse@example.org",)])
def test_a_role_whose_alias_leads_nowhere_any_more_falls_back(off):
    aliases = {"abuse@example.org": ["gone@example.org"]}
    found = resolve(parse_address("abuse+x@example.org"), Directory(["ann@example.org"], aliases, off))
    assert (found.kind, [target.address for target in found.local]) == (Kind.RESOLVED, ["ann@example.org"])
    assert dead(found) == [("abuse+x@example.org", "switched-off")] if off else [("gone@example.org", "unknown")]
    [kept] = resolve(parse_address("abuse@example.org"), Directory([], aliases, off)).kept
    assert (kept.address, kept.domain_id) == ("abuse@example.org", 1)


def test_who_reads_a_role_in_another_domain_is_not_named_to_the_one_that_asks():
    directory = Directory(["ann@example.org"])
    directory.rows["ann@example.org"] = replace(directory.rows["ann@example.org"], domain_id=7)
    [step] = resolve(parse_address("postmaster@example.org"), directory).chain
    assert (step.by, step.targets, step.domain_id) == ("postmaster", (), 1)


def test_who_reads_a_role_may_send_it_on():
    away = AliasEntry(50, 7, "ann@example.org", "forward", True, False, ("ann@elsewhere.test",))
    directory = Directory(["ann@example.org"], {"admin@example.org": ["admin@mail.example.com"]})
    directory.rows["ann@example.org"] = replace(directory.rows["ann@example.org"], domain_id=7, forward=away)
    for address in ("postmaster@example.org", "abuse@mail.example.com", "admin@example.org"):
        found = resolve(parse_address(address), directory)
        assert (found.kind, found.local, found.remote) == (Kind.RESOLVED, (), ("ann@elsewhere.test",))
        assert [part.domain_id for part in found.parts if part.remote] == [7]


REWRITTEN = "SRS0=AAAAAAAA=AA=elsewhere.test=eve"


@pytest.mark.parametrize("domain", ["example.org", "example.net", "disabled.example", "mail.example.com"])
@pytest.mark.parametrize("local_part", [REWRITTEN, "srs1=x=y==z", "SRS0+AA=AA=x.test=y"])
def test_rewritten_senders_belong_to_no_catch_all_pattern_or_alias(local_part, domain):
    directory = Directory(
        ["ann@example.org", "srs0@example.org"],
        {"@example.org": ["ann@example.org"], "s*@example.org": ["ann@example.org"],
         "*@example.org": ["ann@example.org"],
         "list@example.org": [f"{REWRITTEN}@example.org"]},
    )  # fmt: skip
    found = resolve(Address(local_part, domain), directory)
    assert (found.kind, found.reason, found.parts) == (Kind.UNKNOWN, "rewritten-sender", ())
    assert dead(resolve(parse_address("list@example.org"), directory)) == [(f"{REWRITTEN}@example.org", "unknown")]
    written_so = Directory(["srs0-team@example.org"])
    assert resolve(parse_address("SRS0-team@example.org"), written_so).kind is Kind.RESOLVED


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
    assert dead(found) == [("a@example.org", "loop")]
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
    assert dead(found)[0] == ("u2x0@remote.example", "too-many")
    full = resolve(
        parse_address("all@example.org"),
        Directory([], wide | {"all@example.org": ["l0@example.org", "l1@example.org"]}),
    )
    assert len(full.remote) == 1000 and not dead(full)


def counted(directory, monkeypatch):
    """The questions that the directory is asked from now on."""
    asked, entries = [], directory.entries
    monkeypatch.setattr(directory, "entries", lambda keys: asked.append(list(keys)) or entries(keys))
    return asked


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
    directory = Directory(
        ["ann@example.org"], ladder(9, last) | {"off@example.org": ["ann@example.org"]}, off=["off@example.org"]
    )
    asked = counted(directory, monkeypatch)
    found = resolve(parse_address("a0x0@example.org"), directory)
    assert found.kind is kind
    assert (len(asked), len(found.parts)) == (1 + 81, 81)


def test_an_alias_met_again_nearer_is_followed_as_far_as_it_leads():
    far = {f"a{n}@example.org": [f"a{n + 1}@example.org"] for n in range(MAX_DEPTH)}
    # By way of a1 the chain is cut one alias short; straight from the start it is whole.
    aliases = far | {
        f"a{MAX_DEPTH}@example.org": ["ann@example.org"],
        "a0@example.org": ["a1@example.org", "a2@example.org"],
    }
    found = resolve(parse_address("a0@example.org"), Directory(["ann@example.org"], aliases))
    assert [target.address for target in found.local] == ["ann@example.org"]


def test_dead_ends_are_followed_no_further_than_anybody_needs(monkeypatch):
    aliases = {f"l{n}@example.org": [f"no{n}x{m}@example.org" for m in range(1000)] for n in range(1000)}
    directory = Directory([], aliases | {"all@example.org": list(aliases)})
    asked = counted(directory, monkeypatch)
    found = resolve(parse_address("all@example.org"), directory)
    assert found.kind is Kind.UNKNOWN and len(found.chain) <= MAX_STEPS / 1000
    assert sum(map(len, asked)) <= MAX_STEPS + 1


def test_chain_tells_each_step():
    steps = [
        (step.address, step.by, len(step.targets)) for step in resolve(parse_address("all@example.org"), FULL).chain
    ]
    assert steps == [("all@example.org", "alias", 2), ("info@example.org", "alias", 2)]


def test_each_step_is_of_its_own_address_domain_and_so_is_what_goes_to_other_hosts():
    """Two customers: what the second does with its mail is nothing to the first."""
    directory = Directory(
        ["ann@example.org", "boss@other.example"],
        {"a@example.org": ["b@other.example", "off@other.example", "ann@example.org"],
         "b@other.example": ["boss@other.example", "secret@remote.example", "gone@other.example"],
         "off@other.example": ["boss@other.example"]},
        off=["off@other.example"],
        others={"other.example": 5},
    )  # fmt: skip
    found = resolve(parse_address("a@example.org"), directory)
    assert {(step.address, step.domain_id): [end.address for end in step.dead] for step in found.chain} == {
        ("a@example.org", 1): ["off@other.example"],
        ("b@other.example", 5): ["gone@other.example"],
    }
    assert dead(found)[0][1] == "unknown"
    assert [(part.domain_id, part.address, dict(part.remote)) for part in found.parts if part.remote] == [
        (5, "b@other.example", {"secret@remote.example": "secret@remote.example"})
    ]


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("a.b-*@x.org", ["a.b-c@x.org", "a.b-@x.org"], ["axb-c@x.org", "a.b@x.org"]),
        ("*-x@x.org", ["a-x@x.org", "-x@x.org", "-x-x@x.org"], ["a-x@x.org.evil", "a-y@x.org", "x@x.org"]),
        ("a*b*c@x.org", ["abc@x.org", "a1b2c@x.org", "abbcc@x.org"], ["acb@x.org", "ab@x.org", "a1c@x.org"]),
        ("ab*ba@x.org", ["abba@x.org", "ab-ba@x.org"], ["aba@x.org", "ab@x.org"]),
        ("a**c@x.org", ["ac@x.org", "abc@x.org"], ["ab@x.org"]),
        ("*aa*aa*@x.org", ["aaaa@x.org", "1aa2aa3@x.org"], ["aaa@x.org"]),
    ],
)
def test_patterns(pattern, fits, others):
    assert [key for key in fits + others if pattern_matches(pattern, key)] == fits


class CountingKey(str):
    """Counts how often it is searched."""

    searches = 0

    def find(self, *arguments):
        CountingKey.searches += 1
        return super().find(*arguments)


def test_a_pattern_with_many_stars_looks_for_each_of_its_parts_once():
    key = CountingKey("a" * 64 + "@example.org")
    assert not pattern_matches("*a" * 30 + "*b*c@example.org", key)
    assert not pattern_matches("*a" * 30 + "*b*@example.org", key)
    assert CountingKey.searches == 31
