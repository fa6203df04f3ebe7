"""Mail that is evaluated, through real sockets: what the client hears, what is filed where, what the story keeps."""

import json
import re

import pytest
from resolutions import resolved

from mailsuite.authcheck import report as reports
from mailsuite.authcheck.checker import Checker
from mailsuite.authcheck.signatures import SignatureChecker
from mailsuite.console.stories.findings import findings
from mailsuite.directory.resolution import ReportTarget
from mailsuite.mail import reply as replies
from mailsuite.pipeline.evaluator import Evaluator
from mailsuite.resolver.answers import Answer, Mx, Status, ZoneResolver
from mailsuite.scanning.scanner import ScanAction, ScanResult
from mailsuite.screening.facade import ClientSigns, Deferral, Screening
from mailsuite.trace.models import Story
from mailsuite.verdict.facts import ListHit, OpinionFact, RuleHit, StandingFact

ZONE = {
    ("1.0.0.127.in-addr.arpa", "PTR"): ["localhost.test"],
    ("localhost.test", "A"): ["127.0.0.1"],
    ("other.example", "TXT"): [b"v=spf1 ip4:127.0.0.1 -all"],
    ("_dmarc.other.example", "TXT"): [b"v=DMARC1; p=reject"],
    ("forged.example", "TXT"): [b"v=spf1 -all"],
    ("_dmarc.strict.example", "TXT"): [b"v=DMARC1; p=reject"],
    ("_dmarc.really.strict.example", "TXT"): [b"v=DMARC1; p=reject"],
    ("_dmarc.careful.example", "TXT"): [b"v=DMARC1; p=quarantine"],
    ("silent.example", "MX"): [Mx(0, "")],
}
GENUINE = b"From: x@other.example\r\nSubject: hi\r\n\r\nHello\r\n"
FORGED = b"From: Boss <boss@strict.example>\r\nSubject: pay\r\nMessage-ID: <1@strict.example>\r\n\r\nNow\r\n"
LISTED = b"List-ID: <talk.other.example>\r\n" + FORGED
DOUBTFUL = FORGED.replace(b"strict", b"careful")


@pytest.fixture
def server(make_server):
    return make_server(evaluator=ZONE)


def story_data(story) -> dict:
    return json.loads(story.data)


def test_genuine_mail_goes_to_the_inbox_and_says_why(server):
    assert server.connect().mail(GENUINE, "ann@example.org").startswith("250 2.0.0 ")
    [(operation, octets)] = server.store.delivered
    assert octets == GENUINE
    [local] = operation.local
    assert (local.role, local.reason) == ("inbox", "")
    fields = local.prefix.split(b"\r\n")
    names = [line.partition(b":")[0] for line in fields if line[:1] not in (b"\t", b"")]
    assert names == [b"Return-Path", b"Delivered-To", b"Authentication-Results", b"Received"]
    field = local.prefix[local.prefix.index(b"Authentication-Results") : local.prefix.index(b"Received")].decode()
    assert field.split("\r\n\t") == [
        "Authentication-Results: mx.example.org;",
        "iprev=pass policy.iprev=127.0.0.1;",
        "spf=pass smtp.mailfrom=x@other.example;",
        field.split("\r\n\t")[3],
        "dkim=none;",
        "dmarc=pass header.from=other.example policy.dmarc=reject;",
        "x-mailsuite=inbox policy.reason=ordinary\r\n",
    ]
    assert field.split("\r\n\t")[3].startswith("spf=none ") and "smtp.helo=client.example" in field
    data = story_data(operation.story)
    found = reports.decode(data["authentication"])
    assert (found.spf.result, found.dmarc.result, found.iprev.confirmed) == ("pass", "pass", "localhost.test")
    assert ("_dmarc.other.example", "TXT") in [(one.name, one.rdtype) for one in found.dns]
    assert (data["verdict"]["whole"]["action"], data["verdict"]["mailboxes"][0]["address"]) == (
        "inbox",
        "ann@example.org",
    )


def test_forged_mail_is_refused_where_its_domain_asks_for_it(server):
    reply = server.connect().mail(FORGED, "ann@example.org", "bob@example.org")
    assert reply == "550 5.7.1 Rejected per DMARC policy for strict.example (dmarc-reject)"
    assert server.store.delivered == []
    [told] = server.store.told
    story = told.story
    assert (story.reason, story.outcome, story.subject, story.message_id) == (
        *("dmarc-reject", "refused", "pay", "<1@strict.example>"),
    )
    assert [(event.address, event.domain_id) for event in story.events] == [
        *(("ann@example.org", 1), ("bob@example.org", 1)),
    ]
    data = story_data(story)
    assert data["verdict"]["whole"]["reason"] == "dmarc-reject"
    assert reports.decode(data["authentication"]).dmarc.result == "fail"


@pytest.mark.parametrize(
    "author",
    [
        b"x@other.example, Boss <boss@strict.example>",
        b"Boss <boss@strict.example>\r\nFrom: x@other.example",
        b"boss@strict.example Boss",
        b'"Boss <boss@strict.example>',
        b"a@b@strict.example",
        b"=?utf-8?Q?boss=40strict.example=00?=@other.example",
        b"boss@strict.example\x7f, x@other.example",
        b"b\xe4ss@strict.example",
        b"<@strict.example:x@other.example>",
        b"boss@really.strict. example",
    ],
)
def test_no_way_of_writing_from_gets_a_forgery_past_its_refusal(server, author):
    message = FORGED.replace(b"Boss <boss@strict.example>", author)
    reply = server.connect().mail(message, "ann@example.org")
    assert re.fullmatch(r"550 5.7.1 Rejected per DMARC policy for (really.)?strict.example \(dmarc-reject\)", reply)


def test_what_a_bounce_shows_as_its_author_is_looked_at(server):
    message = FORGED.replace(b"Boss <boss@strict.example>", b"=?utf-8?Q?Boss_<boss=40strict.example>?=")
    reply = server.connect().mail(message, "ann@example.org", sender="")
    assert reply == "550 5.7.1 Rejected per DMARC policy for strict.example (dmarc-reject)"


def test_nobody_names_so_many_authors(server):
    message = FORGED.replace(b"Boss <boss", b",".join(b"x@%d.example" % n for n in range(9)) + b", <boss")
    reply = server.connect().mail(message, "ann@example.org")
    assert reply == "550 5.7.1 Your message names more authors than are taken here (from-unclear)"


@pytest.mark.parametrize(
    "author", ["X, Ann <x@other.example>", "Ann (Sales\uff09 <x@other.example>", '"Ann X" x@other.example']
)
def test_whoever_writes_from_as_programs_do_is_the_author(server, author):
    message = GENUINE.replace(b"x@other.example", author.encode())
    assert server.connect().mail(message, "ann@example.org").startswith("250 ")
    [(operation, octets)] = server.store.delivered
    found = reports.decode(story_data(operation.story)["authentication"])
    assert (found.dmarc.result, found.from_address, found.from_problem) == ("pass", "x@other.example", "")
    assert (operation.local[0].role, octets) == ("inbox", message)


def test_a_bounce_may_be_from_nobody(server):
    message = GENUINE.replace(b"x@other.example", b"Mail Delivery Subsystem <MAILER-DAEMON>")
    talk = server.connect()
    assert talk.mail(message, "ann@example.org", sender="").startswith("250 ")
    assert talk.mail(message, "ann@example.org").startswith("250 ")
    # Some hosts write no From at all.
    assert talk.mail(b"Subject: not delivered\r\n\r\nx\r\n", "ann@example.org", sender="").startswith("250 ")
    shown = b"Sender: boss@strict.example\r\nSubject: pay\r\n\r\nx\r\n"
    assert talk.mail(shown, "ann@example.org", sender="").startswith("250 ")
    reasons = [operation.local[0].reason for operation, _ in server.store.delivered]
    assert reasons == ["", "from-unclear", "", "from-unclear"]


def test_forged_mail_goes_to_junk_where_its_domain_asks_for_that(server):
    assert server.connect().mail(DOUBTFUL, "ann+inbox@example.org").startswith("250 ")
    [local] = server.store.delivered[0][0].local
    assert (local.role, local.folder, local.reason) == ("junk", "", "dmarc-quarantine")
    assert b"x-mailsuite=junk policy.reason=dmarc-quarantine" in local.prefix


def test_a_detail_that_names_a_folder_hides_no_junk(server):
    server.connect().mail(DOUBTFUL, "ann+lists@example.org")
    server.connect().mail(GENUINE, "ann+lists@example.org")
    junk, wanted = (operation.local[0] for operation, _ in server.store.delivered)
    assert (junk.role, junk.folder) == ("junk", "")
    assert wanted.folder == "lists"


def test_forged_results_are_removed_and_counted_others_stay(server):
    theirs = b"Authentication-Results: other.example; dkim=pass\r\n"
    forged = b"authentication-results :\r\n MX.example.org 1;\r\n dmarc=pass header.from=bank.example\r\n"
    server.connect().mail(b"X-First: 1\r\n" + forged + theirs + forged + GENUINE, "ann@example.org")
    [(operation, octets)] = server.store.delivered
    assert octets == b"X-First: 1\r\n" + theirs + GENUINE
    assert story_data(operation.story)["authentication"]["removed_results"] == 2
    assert operation.local[0].prefix.count(b"Authentication-Results") == 1


def test_forged_results_are_removed_from_large_mail_too(server):
    forged = b"Authentication-Results: mx.example.org; dmarc=pass\r\n"
    body = b"line\r\n" * 60_000
    server.connect().mail(forged + GENUINE + body, "ann@example.org")
    assert server.store.delivered[0][1] == GENUINE + body


def test_a_return_path_that_came_with_the_mail_is_removed_and_told(server):
    forged = b"RETURN-PATH :\r\n <boss@example.org>\r\n"
    server.connect().mail(forged + GENUINE + b"Return-Path: <in@the.body>\r\n", "ann@example.org")
    [(operation, octets)] = server.store.delivered
    assert octets == GENUINE + b"Return-Path: <in@the.body>\r\n"
    assert operation.local[0].prefix.startswith(b"Return-Path: <x@other.example>\r\n")
    assert story_data(operation.story)["authentication"]["removed_return_paths"] == 1
    found = findings(Story(data=operation.story.data))
    assert ("Return-Path", "forged") in [(line.name, line.result) for line in found.checks]


def test_bodies_may_hold_what_they_like(server):
    message = GENUINE + b"Authentication-Results: mx.example.org; dmarc=pass\r\n"
    server.connect().mail(message, "ann@example.org")
    assert server.store.delivered[0][1] == message


def test_dns_that_fails_refuses_nothing(make_server):
    class Broken:
        async def query(self, name, rdtype):
            return Answer(Status.TEMPERROR)

    server = make_server(evaluator=Evaluator(Checker(Broken(), SignatureChecker()), ("mx.example.org",)))
    assert server.connect().mail(FORGED, "ann@example.org").startswith("250 ")
    [(operation, _)] = server.store.delivered
    found = reports.decode(story_data(operation.story)["authentication"])
    assert {found.spf.result, found.iprev.result, found.dmarc.result} == {"temperror"}
    assert operation.local[0].role == "inbox"


def test_a_bug_in_a_check_refuses_nothing(make_server):
    class Buggy(SignatureChecker):
        async def check(self, content, author_domain, questions, now):
            raise RuntimeError("boom")

    server = make_server(evaluator=Evaluator(Checker(ZoneResolver(ZONE), Buggy()), ("mx.example.org",)))
    assert server.connect().mail(FORGED, "ann@example.org").startswith("250 ")
    found = reports.decode(story_data(server.store.delivered[0][0].story)["authentication"])
    assert (found.arc.result, found.dmarc.result, found.unfinished) == ("temperror", "temperror", ("signatures",))


def test_what_takes_too_long_is_temperror(make_server):
    class Silent(ZoneResolver):
        async def query(self, name, rdtype):
            if name.startswith("_dmarc"):
                import asyncio

                await asyncio.Event().wait()
            return await super().query(name, rdtype)

    checker = Checker(Silent(ZONE), SignatureChecker(), deadline_seconds=0.05)
    server = make_server(evaluator=Evaluator(checker, ("mx.example.org",)))
    assert server.connect().mail(FORGED, "ann@example.org").startswith("250 ")
    found = reports.decode(story_data(server.store.delivered[0][0].story)["authentication"])
    assert (found.dmarc.result, found.spf.result, found.unfinished) == ("temperror", "pass", ("dmarc",))


def test_a_sender_s_domain_that_takes_no_mail(server):
    reply = server.connect().mail(GENUINE, "ann@example.org", sender="x@silent.example")
    assert reply.startswith("550 5.7.27 ") and reply.endswith("(sender-null-mx)")


def test_spf_alone_refuses_nobody(server):
    unsigned = GENUINE.replace(b"other.example", b"forged.example")
    assert server.connect().mail(unsigned, "ann@example.org", sender="x@forged.example").startswith("250 ")
    assert (server.store.delivered[0][0].local[0].role, server.store.delivered[0][0].local[0].reason) == (
        "junk",
        "spf-fail",
    )


def test_bounces_are_judged_by_helo(server):
    talk = server.connect(hello="other.example")
    assert talk.mail(GENUINE, "ann@example.org", sender="").startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert b"spf=pass smtp.helo=other.example" in operation.local[0].prefix
    assert b"smtp.mailfrom" not in operation.local[0].prefix


def test_our_own_users_are_not_judged(server):
    reply = server.log_in().mail(b"From: ann@example.org\r\n\r\nHi\r\n", "bob@example.org", sender="ann@example.org")
    assert reply.startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert b"Authentication-Results" not in operation.local[0].prefix
    assert "authentication" not in story_data(operation.story)


def test_users_can_t_write_findings_in_our_name(server):
    """Forged ones would be signed by us; others are their own, as in mail that is resent."""
    ours, theirs = b"Authentication-Results: mx.example.org; dmarc=pass\r\n", b"Authentication-Results: x.test; a=b\r\n"
    message = b"From: ann@example.org\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@x>\r\n"
    server.log_in().mail(ours + theirs + message + b"\r\nHi\r\n", "bob@example.org", sender="ann@example.org")
    assert server.store.delivered[0][1] == theirs + message + b"\r\nHi\r\n"


def test_forwards_are_judged_too(server):
    server.directory.remote["away@example.org"] = resolved("away@example.org", remote=["a@far.example"])
    talk = server.connect()
    assert talk.mail(FORGED, "away@example.org").startswith("550 5.7.1 ")
    assert talk.mail(DOUBTFUL, "away@example.org").startswith("250 ")
    assert talk.mail(GENUINE, "away@example.org").startswith("250 ")
    doubtful, genuine = (operation.outgoing[0] for operation, _ in server.store.delivered)
    assert b"dmarc=fail" in doubtful.prefix and b"dmarc=pass" in genuine.prefix
    # What is decided here is nobody else's business.
    assert b"x-mailsuite" not in genuine.prefix


@pytest.mark.parametrize("header", [b"X: " + b"y" * 1_400_000, b"X: y\r\n" * 5001, b"list-x: y\r\n" * 20_000])
def test_header_of_no_end_is_refused(server, header):
    reply = server.connect().mail(header + b"\r\n\r\n", "ann@example.org")
    assert reply.startswith("552 5.3.4 ") and "header-too-big" in reply


class FakeScreening(Screening):
    def __init__(self, **answers):
        self.answers, self._reader = answers, None
        self.asked = []

    async def at_connection(self, client_address):
        return self.answers.get("lists", ())

    async def client_signs(self, client_address, helo, iprev):
        return self.answers.get("signs", ClientSigns())

    async def own_domains(self, client_address, names):
        return frozenset(names) & self.answers.get("own_domains", frozenset())

    async def rule_for(self, sender, *, recipient, mailbox_id=None, domain_id=None):
        return self.answers.get("rules", {}).get(recipient)

    async def greylist(self, sender, recipients, *, doubts, is_known=False):
        self.asked.append(sender)
        return self.answers.get("greylist")

    async def first_time_pause(self, sender, recipient, *, mailbox_id, is_known):
        return self.answers.get("pause") if not is_known else None


class FakeMemory:
    def __init__(self, standings=None, opinions=None, sent=()):
        self._standings, self._opinions, self._sent = standings or {}, opinions or {}, sent

    async def was_sent_here(self, message_id, domain, to):
        return any((message_id, domain, one) in self._sent for one in to)

    async def standings(self, mailbox_ids, report, content):
        return self._standings

    async def opinions(self, mailbox_ids, report, content):
        assert content.header.block.endswith(b"\r\n\r\n")
        return self._opinions


class Broken:
    """Answers every question with a bug."""

    def __getattr__(self, name):
        async def fail(*arguments, **named):
            raise RuntimeError(f"no {name}")

        return fail


class FakeScanner:
    def __init__(self, result):
        self.result = result

    async def scan(self, request):
        octets = b"".join(request.chunks())
        assert (octets, request.size_octets) == (GENUINE, len(GENUINE))
        assert (request.client_address, request.recipients) == ("127.0.0.1", ("ann@example.org",))
        return self.result


@pytest.fixture
def judging_server(make_server):
    def make(**advisers):
        checker = Checker(ZoneResolver(ZONE), SignatureChecker(), host="mx.example.org")
        return make_server(evaluator=Evaluator(checker, ("mx.example.org",), **advisers))

    return make


BLOCKED = RuleHit("block", "mailbox", "other.example")


def roles(server) -> dict[str, str]:
    return {local.address: local.role for operation, _ in server.store.delivered for local in operation.local}


def test_one_mailbox_s_block_is_another_s_inbox(judging_server):
    server = judging_server(screening=FakeScreening(rules={"ann@example.org": BLOCKED}))
    talk = server.connect()
    assert talk.mail(GENUINE, "ann@example.org", "bob@example.org").startswith("250 ")
    assert roles(server) == {"ann@example.org": "junk", "bob@example.org": "inbox"}
    assert talk.mail(GENUINE, "ann@example.org") == "550 5.7.1 This sender is blocked here (block-rule)"


def test_the_report_reader_reads_no_junk_and_that_is_told(judging_server):
    reader = "dmarc-reports@example.org"
    server = judging_server(screening=FakeScreening(rules={reader: RuleHit("junk", "domain", "other.example")}))
    server.directory.remote[reader] = resolved(reader, reports=[ReportTarget("dmarc", 1, reader)])
    talk = server.connect()
    assert talk.mail(GENUINE, reader) == "550 5.7.1 This report is not taken (junk-rule)"
    assert talk.mail(GENUINE, reader, "ann@example.org").startswith("250 ")
    [(operation, _)] = server.store.delivered
    [event] = operation.story.events
    assert (event.kind, event.address, event.reason) == ("dropped", reader, "junk-rule") and not operation.reports


@pytest.mark.parametrize(
    ("known", "message", "reply"),
    [
        ("other.example", LISTED, "250 "),
        ("other.example", FORGED, "550 5.7.1 "),
        ("else.example", LISTED, "550 5.7.1 "),
    ],
)
def test_what_a_known_list_sends_on_is_not_refused(judging_server, known, message, reply):
    server = judging_server(list_domains=frozenset({known}))
    assert server.connect().mail(message, "ann@example.org").startswith(reply)
    assert roles(server) == ({"ann@example.org": "junk"} if reply == "250 " else {})


OURS = frozenset({"example.org"})
POSTED = ("<1@example.org>", "example.org", "other.example")
AS_US = b"From: Boss <boss@example.org>\r\nMessage-ID: <1@example.org>\r\nSubject: pay\r\n\r\nNow\r\n"


def test_strangers_who_write_in_our_name_go_to_junk_and_the_story_says_why(judging_server):
    server = judging_server(screening=FakeScreening(own_domains=OURS))
    assert server.connect().mail(AS_US, "ann@example.org").startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert (operation.local[0].role, operation.local[0].reason) == ("junk", "own-domain-forged")
    [line] = findings(Story(data=operation.story.data)).verdicts
    assert line.sentence == (
        "In Junk because it says that it is from example.org, which is hosted here, and neither a signature nor SPF"
        " proves it."
    )
    plain = GENUINE.replace(b"other.example", b"plain.example")
    assert server.connect().mail(plain, "ann@example.org", sender="boss@example.org").startswith("250 ")
    assert server.store.delivered[1][0].local[0].reason == "own-domain-forged"


@pytest.mark.parametrize(
    ("sent", "header", "sender", "role"),
    [
        ({POSTED}, b"List-Id: <talk.other.example>\r\n", "x@other.example", "inbox"),
        ({POSTED}, b"", "x@other.example", "junk"),
        ({POSTED}, b"List-Id: <talk.other.example>\r\n", "x@forged.example", "junk"),
        # To somebody else: whoever knows its Message-ID is no list for that.
        ({(*POSTED[:2], "far.example")}, b"List-Id: <talk.other.example>\r\n", "x@other.example", "junk"),
        (set(), b"List-Id: <talk.other.example>\r\n", "x@other.example", "junk"),
    ],
)
def test_what_our_users_post_comes_back_through_lists(judging_server, sent, header, sender, role):
    server = judging_server(screening=FakeScreening(own_domains=OURS), memory=FakeMemory(sent=sent))
    server.connect().mail(header + AS_US, "ann@example.org", sender=sender)
    assert roles(server) == {"ann@example.org": role}


def test_reputation_and_filter_are_asked_for_each_mailbox(judging_server):
    memory = FakeMemory(
        {1: StandingFact("wanted", "author", "you wrote")}, {1: OpinionFact(0.99), 2: OpinionFact(0.99)}
    )
    server = judging_server(memory=memory)
    server.connect().mail(GENUINE, "ann@example.org", "bob@example.org")
    assert roles(server) == {"ann@example.org": "inbox", "bob@example.org": "junk"}


def test_who_is_broken_is_left_out(judging_server):
    server = judging_server(screening=Broken(), memory=Broken(), scanner=Broken())
    assert server.connect().mail(GENUINE, "ann@example.org").startswith("250 ")
    assert roles(server) == {"ann@example.org": "inbox"}


def test_a_scanner_s_words(judging_server):
    server = judging_server(scanner=FakeScanner(ScanResult(ScanAction.REJECT, 20, "virus found", ("EICAR (20)",))))
    assert server.connect().mail(GENUINE, "ann@example.org").endswith("(scanner)")
    scan = story_data(server.store.told[0].story)["scan"]
    assert (scan["action"], scan["score"], scan["symbols"]) == ("reject", 20, ["EICAR (20)"])


def test_lists_and_signs_add_up(judging_server):
    server = judging_server(
        screening=FakeScreening(lists=(ListHit("zen.test", 1.5),), signs=ClientSigns((ListHit("no reverse DNS", 0.5),)))
    )
    reply = server.connect().mail(GENUINE, "ann@example.org")
    assert reply == "550 5.7.1 Your host is doubtful: zen.test, no reverse DNS (listed)"


def test_greylisting_puts_off_the_doubtful(judging_server):
    deferral = Deferral("greylisted", "it has not been seen before", replies.Reply(451, "7.1", "Come again"))
    screening = FakeScreening(greylist=deferral, signs=ClientSigns((), ("no reverse DNS",)))
    server = judging_server(screening=screening)
    message = b"Message-ID:\r\n <1@other.example>\r\n" + GENUINE
    assert server.connect().mail(message, "ann@example.org") == "451 4.7.1 Come again"
    # By these it is known again when it comes from another host.
    [sender] = screening.asked
    assert (sender.client_name, sender.message_id, sender.authors) == (
        *("localhost.test", "<1@other.example>", ("x@other.example",)),
    )
    [told] = server.store.told
    assert (told.story.reason, told.story.outcome) == ("greylisted", "deferred")


def test_a_host_that_calls_itself_by_our_name(judging_server):
    server = judging_server(screening=FakeScreening(signs=ClientSigns(refusal=replies.Reply(550, "7.1", "That is us"))))
    assert server.connect().mail(GENUINE, "ann@example.org") == "550 5.7.1 That is us (pretends-to-be-us)"
