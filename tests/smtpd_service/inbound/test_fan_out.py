"""One message to many: work, rows and octets grow with distinct mailboxes and aliases, not with recipients × members.

The rule of the directory runs over rows in memory, and counts what it is asked; the rest is real.
"""

from collections import Counter
from dataclasses import replace

import pytest
from resolutions import resolved

from mailsuite.directory import resolution, resolving
from mailsuite.directory.resolution import AliasEntry, DomainEntry, MailboxEntry
from mailsuite.mail.address import Path, parse_address
from mailsuite.pipeline import decisions, evaluator
from mailsuite.pipeline.destinations import MAX_MESSAGE_TARGETS, NAMED, Destinations
from mailsuite.resolver.answers import Mx
from mailsuite.store.operations import KEPT
from mailsuite.writer import wire

MEMBERS = [f"m{number}@example.org" for number in range(200)]
STRANGERS = [f"s{number}@far.example" for number in range(1000)]
ZONE = {("other.example", "MX"): [Mx(10, "mx.other.example")]}


class Rows:
    """example.org with m0 to m199, and aliases; nobody reads postmaster@. Remembers as a process does."""

    def __init__(self, aliases):
        self.rows = {
            address: MailboxEntry(number, 1, number, address, 10**9, "active")
            for number, address in enumerate(MEMBERS, 1)
        }
        for number, (address, targets) in enumerate(aliases.items(), 1):
            self.rows[address] = AliasEntry(number, 1, address, "address", True, True, tuple(targets))
        self.remembered = {}
        self.asked = Counter()

    def domain(self, name):
        return DomainEntry(1, name, name, False) if name == "example.org" else None

    def entries(self, keys):
        self.asked.update(keys)
        return {key: self.rows[key] for key in keys if key in self.rows}

    def role_mailbox(self, domain_id):
        return None

    def is_own_host(self, domain):
        return domain == "mx.example.org"

    def remember(self, key, load):
        if key not in self.remembered:
            self.remembered[key] = load()
        return self.remembered[key]


@pytest.fixture
def use(monkeypatch):
    """`use(server, aliases)` has the server ask these rows, which it returns."""

    def give(server, aliases):
        rows = Rows(aliases)

        async def resolve(path):
            return resolving.resolve(path.address, rows)

        monkeypatch.setattr(server.directory, "resolve", resolve)
        return rows

    return give


def octets_of(operation):
    return len(wire.request(1, operation))


def test_a_list_that_is_named_a_thousand_times(make_server, use, monkeypatch):
    """Each member is looked up, judged, asked for its room and filed once; the list is one event."""
    server = make_server(evaluator=ZONE)
    rows = use(server, {"list@example.org": MEMBERS})
    verdicts, judge = [], evaluator.judge
    monkeypatch.setattr(evaluator, "judge", lambda message, own: verdicts.append(1) or judge(message, own))
    talk = server.connect()
    named = [f"list+{n}@example.org" for n in range(1000)]
    assert talk.mail(b"From: x@other.example\r\n\r\n", *named).startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert len(operation.local) == len(verdicts) == 200
    assert sum(rows.asked.values()) == 2 * 1000 + 200
    assert [len(ids) for ids in server.directory.asked_for_usage] == [200]
    [event] = operation.story.events
    assert (event.kind, event.address, event.reason) == ("expanded", "list+0@example.org", "alias")
    assert event.text == f"to {', '.join(MEMBERS[:NAMED])} and 190 more; for 1000 recipients"
    # What a mailbox adds is its own copy's fields.
    few = use(server, {"list@example.org": MEMBERS[:10]})
    assert talk.mail(b"From: x@other.example\r\n\r\n", "list@example.org").startswith("250 ")
    ten = octets_of(server.store.delivered[-1][0])
    assert few.asked and octets_of(operation) < 20 * ten + 1000 * len("list+999@example.org,")


def test_a_thousand_strangers_that_are_named_a_thousand_times(server, use):
    rows = use(server, {"out@example.org": STRANGERS})
    talk = server.connect()
    assert talk.mail(b"\r\n", *(f"out+{n}@example.org" for n in range(1000))).startswith("250 ")
    [(operation, _)] = server.store.delivered
    [outgoing] = operation.outgoing
    assert [one.recipient.forward_path for one in outgoing.recipients] == STRANGERS
    assert outgoing.prefix.startswith(b"Delivered-To: out+0@example.org\r\n")
    assert len(operation.story.events) == 1 and len(operation.story.events[0].text) < 500
    assert sum(rows.asked.values()) == 2 * 1000
    assert octets_of(operation) < 200_000


def test_aliases_that_share_a_list_take_its_members_once(server, use):
    lists = {f"a{number}@example.org": ["list@example.org"] for number in range(500)}
    rows = use(server, {"list@example.org": MEMBERS} | lists)
    talk = server.connect()
    assert talk.mail(b"\r\n", *lists).startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert len(operation.local) == 200 and len(operation.story.events) == 501
    assert sum(rows.asked.values()) == 500 * 2 + 200


def test_who_has_no_room_is_asked_for_once(server, use):
    use(server, {"list@example.org": MEMBERS})
    server.directory.used = dict.fromkeys(range(1, 201), 10**9)
    talk = server.connect()
    talk.send("MAIL FROM:<x@other.example>", *(f"RCPT TO:<list+{n}@example.org>" for n in range(50)))
    assert {reply[:9] for reply in (talk.reply() for _ in range(51))} == {"250 2.1.0", "452 4.2.2"}
    assert [len(ids) for ids in server.directory.asked_for_usage] == [200]


def test_recipients_beyond_the_budget_are_for_another_message(server, use):
    """RFC 5321 §4.5.3.1.10: 452 means that the client sends the rest in another transaction; nothing is lost."""
    more = [f"t{number}@far.example" for number in range(1000)]
    use(server, {"one@example.org": STRANGERS, "two@example.org": more, "ann@example.org": ["m0@example.org"]})
    talk = server.connect()
    named = ["one", "two", "m0", "one+again", "two+again", *(f"m{n}" for n in range(1, 150))]
    talk.send("MAIL FROM:<x@other.example>", *(f"RCPT TO:<{name}@example.org>" for name in named), "DATA")
    _, *replies, go_on = (talk.reply() for _ in range(len(named) + 2))
    assert go_on.startswith("354 ")
    # What is in the message already costs no more; and so many refusals don't end the session.
    assert [name for name, reply in zip(named, replies, strict=True) if reply.startswith("250 ")] == [
        *("one", "two", "one+again", "two+again"),
    ]
    refused = {reply for reply in replies if not reply.startswith("250 ")}
    assert refused == {str(decisions.TOO_MANY_TARGETS.reply)} and refused.pop().startswith("452 4.5.3 ")
    assert talk.ask(b"\r\n.\r\n").startswith("250 ")
    assert server.store.reasons == ["too-many-targets"]
    rest = [f"{name}@example.org" for name, reply in zip(named, replies, strict=True) if reply.startswith("452 ")]
    assert talk.mail(b"\r\n", *rest).startswith("250 ")
    first, second = (operation for operation, _ in server.store.delivered)
    assert sum(len(one.recipients) for one in first.outgoing) == MAX_MESSAGE_TARGETS
    assert len(second.local) == len(rest) == 150


def test_the_largest_message_fits_into_a_frame(server, use):
    """As many aliases as recipients, each with the longest addresses."""
    lists = {f"{n}{'a' * 50}@example.org": [f"{n}{'b' * 50}@{'c' * 60}.{'d' * 60}.example"] for n in range(1000)}
    use(server, lists)
    talk = server.connect()
    assert talk.mail(b"\r\n", *lists, sender=f"{'x' * 60}@other.example").startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert len(operation.outgoing) == 1000
    assert 2 * octets_of(operation) < wire.MAX_FRAME / 10


def test_the_first_recipient_always_fits():
    remote = [f"s{number}@far.example" for number in range(resolution.MAX_TARGETS)]
    found = Destinations.of(Path(parse_address("out@example.org")), resolved("out@example.org", remote=remote))
    assert found.total == resolution.MAX_TARGETS <= MAX_MESSAGE_TARGETS


def test_what_a_role_gets_is_kept_where_nobody_reads_it(server, use):
    """RFC 5321 §4.5.1: it is accepted; it goes to no stranger's mailbox, but waits for the administrators."""
    use(server, {})
    talk = server.connect()
    recipients = ["postmaster@example.org", "abuse@example.org", "postmaster", "postmaster@mx.example.org"]
    assert talk.mail(b"\r\n", *recipients).startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert operation.local == []
    kept = {one.recipients[0].recipient.forward_path: one for one in operation.outgoing}
    assert len(operation.outgoing) == 3
    assert list(kept) == [
        "postmaster@example.org",
        "abuse@example.org",
        "postmaster@mx.example.org",
    ]
    assert {one.hold_reason for one in kept.values()} == {KEPT}
    assert [one.domain_id for one in kept.values()] == [1, 1, None]
    assert {one.envelope.reverse_path for one in kept.values()} == {"x@other.example"}
    server.directory.keeps_no_more_for.add(1)
    talk.send("MAIL FROM:<x@other.example>", *(f"RCPT TO:<{one}>" for one in recipients))
    assert [talk.reply()[:9] for _ in range(5)] == ["250 2.1.0", "452 4.2.2", "452 4.2.2", "250 2.1.5", "250 2.1.5"]


def test_a_mailbox_that_forwards(make_server, use):
    """Like an alias: the copy stays, what goes on has a sender of ours and our Delivered-To; junk stays here."""
    server = make_server(evaluator=ZONE)
    rows = use(server, {})
    forward = AliasEntry(9, 1, "m1@example.org", "forward", True, False, ("s1@far.example", "m1@example.org"))
    rows.rows["m1@example.org"] = replace(rows.rows["m1@example.org"], forward=forward)
    talk = server.connect()
    assert talk.mail(b"From: x@other.example\r\n\r\n", "m1@example.org").startswith("250 ")
    [(operation, _)] = server.store.delivered
    [local], [outgoing] = operation.local, operation.outgoing
    assert local.address == "m1@example.org"
    assert [one.recipient.forward_path for one in outgoing.recipients] == ["s1@far.example"]
    assert outgoing.envelope.reverse_path.startswith("SRS0=") and outgoing.envelope.reverse_path.endswith(
        "@example.org"
    )
    assert outgoing.prefix.startswith(b"Delivered-To: m1@example.org\r\n")
    [event] = operation.story.events
    assert (event.reason, event.text) == ("forward", "to s1@far.example, m1@example.org")
    # Come back from there, it is not sent on again.
    back = talk.mail(b"Delivered-To: m1@example.org\r\nFrom: x@other.example\r\n\r\n", "m1@example.org")
    assert back.startswith("554 5.4.6 ")
