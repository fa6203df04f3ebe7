"""The checks together: what costs what, what fails how, whom a seal convinces."""

import asyncio
import json

import dkim
import msgspec
import pytest
from foreign_mail import Signer

from mailsuite.authcheck.checker import Checker
from mailsuite.authcheck.content import INLINE_OCTETS, Content
from mailsuite.authcheck.questions import MAX_QUESTIONS, Questions
from mailsuite.authcheck.report import AuthReport, decode
from mailsuite.authcheck.results import results
from mailsuite.authcheck.signatures import SignatureChecker
from mailsuite.mail.header import header_end
from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.arc_seal import seal
from mailsuite.mailauth.authentication_results import Result, payload
from mailsuite.mailauth.dkim import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import SigningKey
from mailsuite.resolver.answers import Answer, Status, ZoneResolver

MESSAGE = b"From: x@far.test\r\nTo: ann@example.org\r\nSubject: hi\r\n\r\nHello\r\n"
ZONE = {
    ("far.test", "TXT"): [b"v=spf1 ip4:192.0.2.1 -all"],
    ("_dmarc.far.test", "TXT"): [b"v=DMARC1; p=reject"],
}


@pytest.fixture(scope="module")
def far():
    return Signer("far.test")


@pytest.fixture(scope="module")
def zone(far):
    return ZONE | {("s1._domainkey.far.test", "TXT"): [far.record.encode()]}


def content_of(message: bytes, *, in_memory: bool = True) -> Content:
    length = header_end(message, 0, len(message))
    return Content(Header.parse(message[:length]), lambda: iter([message[length:]]), len(message) - length, in_memory)


def check(message, resolver, *, address="192.0.2.1", mail_from="x@far.test", in_memory=True, **settings) -> AuthReport:
    async def run() -> AuthReport:
        checker = Checker(resolver, SignatureChecker(settings.pop("trusted", ())), host="mx.example.org", **settings)
        inquiry = checker.begin(address, "mail.far.test", mail_from)
        return await inquiry.finish(content_of(message, in_memory=in_memory))

    return asyncio.run(run())


def test_everything_at_once(far, zone):
    report = check(far.sign(MESSAGE), ZoneResolver(zone))
    assert (report.spf.result, report.dkim[0].result, report.dmarc.result) == ("pass", "pass", "pass")
    assert report.dkim[0].is_aligned and report.dkim_domains == ("far.test",) and report.spf_domain == "far.test"
    assert set(report.milliseconds) == {"iprev", "spf-helo", "spf", "sender-mx", "signatures", "dmarc"}


@pytest.mark.parametrize(
    ("fields", "mail_from", "result", "domain", "asked"),
    [
        (b"From: Doe, Ann <x@far.test>\r\n", "x@far.test", "pass", "far.test", "none"),
        (b"From: x@near.test, Boss <boss@far.test>\r\n", "x@near.test", "fail", "far.test", "reject"),
        (b"From: boss@far.test\r\nFrom: x@near.test\r\n", "x@near.test", "fail", "far.test", "reject"),
        (b"From: boss@far.test, x@-\r\n", "x@near.test", "fail", "far.test", "reject"),
        (b"From: x@near.test, boss@mild.test, boss@far.test\r\n", "x@near.test", "fail", "far.test", "reject"),
        (b"From: x@near.test, boss@mild.test\r\n", "x@near.test", "fail", "mild.test", "quarantine"),
        (b"From: x@near.test, x@far.test\r\n", "x@far.test", "permerror", "", "none"),
        (b"From: Mail System <MAILER-DAEMON>\r\n", "", "none", "", "none"),
        (b"From: Mail System <MAILER-DAEMON>\r\n", "x@far.test", "permerror", "", "none"),
    ],
)
def test_none_of_several_authors_gets_round_a_policy(fields, mail_from, result, domain, asked):
    near = {
        ("near.test", "TXT"): [b"v=spf1 ip4:192.0.2.1 -all"],
        ("_dmarc.mild.test", "TXT"): [b"v=DMARC1; p=quarantine"],
    }
    report = check(fields + MESSAGE.partition(b"\r\n")[2], ZoneResolver(ZONE | near), mail_from=mail_from)
    assert (report.dmarc.result, report.dmarc.from_domain, report.dmarc.disposition_asked) == (result, domain, asked)
    assert bool(report.from_problem) is (mail_from == "x@near.test" or result == "permerror")
    assert decode(json.loads(msgspec.json.encode(report))) == report


OWN_SPF = {("far.test", "TXT"): [b"v=spf1 ip4:192.0.2.1 -all"]}
POLICY = ("_dmarc.far.test", "TXT")
BELOW = {("news.far.test", "TXT"): [b"v=spf1 ip4:192.0.2.1 -all"]}


@pytest.mark.parametrize(
    ("records", "author", "mail_from", "dmarc", "authentic"),
    [
        (OWN_SPF, "far.test", "x@far.test", "none", True),
        (OWN_SPF, "far.test", "x@Far.Test", "none", True),
        ({}, "far.test", "x@far.test", "none", False),
        ({("far.test", "TXT"): [b"v=spf1 -all"]}, "far.test", "x@far.test", "none", False),
        # A record without policy or address for reports is none.
        (OWN_SPF | {POLICY: [b"v=DMARC1; p=maybe"]}, "far.test", "x@far.test", "none", True),
        # Without a record each name is an organisation by itself: neither above nor below speaks for it.
        (BELOW, "far.test", "x@news.far.test", "none", False),
        (OWN_SPF, "news.far.test", "x@far.test", "none", False),
        (OWN_SPF, "near.test", "x@far.test", "none", False),
        (BELOW | {POLICY: [b"v=DMARC1; p=none"]}, "far.test", "x@news.far.test", "pass", True),
        (BELOW | {POLICY: [b"v=DMARC1; p=none; aspf=s"]}, "far.test", "x@news.far.test", "fail", False),
        (OWN_SPF | {POLICY: Answer(Status.TEMPERROR)}, "far.test", "x@far.test", "temperror", False),
    ],
)  # fmt: skip
def test_who_is_authentic_with_and_without_a_policy(records, author, mail_from, dmarc, authentic):
    report = check(MESSAGE.replace(b"far.test", author.encode()), ZoneResolver(records), mail_from=mail_from)
    assert (report.dmarc.result, report.is_author_authentic) == (dmarc, authentic)


def test_a_signature_of_its_own_speaks_for_an_author_without_a_policy(far, zone):
    without = {key: value for key, value in zone.items() if key[0].startswith("s1.")}
    report = check(far.sign(MESSAGE), ZoneResolver(without), mail_from="bounce@list.test")
    assert (report.dmarc.result, report.is_author_authentic) == ("none", True)
    broken = check(far.sign(MESSAGE) + b"changed\r\n", ZoneResolver(without), mail_from="bounce@list.test")
    assert (broken.dmarc.result, broken.is_author_authentic) == ("none", False)


def test_who_has_no_author_is_not_authentic():
    for start in (b"X-From: x@far.test", b"From: x@far.test, y@near.test", b"From: x@[192.0.2.1]"):
        report = check(MESSAGE.replace(b"From: x@far.test", start), ZoneResolver(OWN_SPF))
        assert not report.is_author_authentic
    # HELO is nobody's, and a null reverse-path proves nothing more.
    assert not check(b"To: x\r\n\r\n", ZoneResolver({}), mail_from="").is_author_authentic


def test_a_report_survives_its_story(far, zone):
    report = check(far.sign(MESSAGE), ZoneResolver(zone))
    assert decode(json.loads(msgspec.json.encode(report))) == report
    assert decode(None) is None and decode({"what": "ever"}) is None


def test_each_question_is_asked_once(far, zone):
    resolver = ZoneResolver(zone)
    report = check(far.sign(far.sign(MESSAGE)), resolver)
    assert len(resolver.asked) == len(set(resolver.asked))
    assert {(one.name, one.rdtype) for one in report.dns} == set(resolver.asked)


def test_large_bodies_are_hashed_in_a_thread(far, zone):
    message = far.sign(MESSAGE + b"line\r\n" * INLINE_OCTETS)
    for in_memory in (True, False):
        assert check(message, ZoneResolver(zone), in_memory=in_memory).dkim[0].result == "pass"


def test_the_deadline_waits_for_a_thread_that_reads_the_file(far, zone):
    """Else the file could be closed, and be another's, under its hands."""
    message = far.sign(MESSAGE)
    length = header_end(message, 0, len(message))
    steps: list[str] = []

    async def run() -> AuthReport:
        began, go_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def body():
            steps.append("begun")
            loop.call_soon_threadsafe(began.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)
            steps.append("read")
            yield message[length:]

        checker = Checker(ZoneResolver(zone), SignatureChecker(), deadline_seconds=0.2)
        content = Content(Header.parse(message[:length]), body, INLINE_OCTETS + 1, False)
        task = asyncio.create_task(checker.begin("192.0.2.1", "h", "x@far.test").finish(content))
        waiting = asyncio.create_task(began.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        # Long past the deadline it still waits.
        if waiting.done():
            await asyncio.wait({task}, timeout=0.5)
            assert not task.done()
        go_on.set()
        report = await task
        steps.append("reported")
        return report

    report = asyncio.run(run())
    # On a machine so busy that the thread never began there is nothing to wait for.
    assert steps in (["begun", "read", "reported"], ["reported"])
    assert "signatures" in report.unfinished and report.dmarc.result == "pass"


def test_dns_that_never_answers_makes_nothing_fail():
    class Silent:
        async def query(self, name, rdtype):
            await asyncio.Event().wait()

    report = check(MESSAGE, Silent(), deadline_seconds=0.01)
    assert {report.iprev.result, report.spf.result, report.dmarc.result} == {"temperror"}
    assert set(report.unfinished) == {"iprev", "spf-helo", "spf", "sender-mx", "dmarc"}


def test_an_author_whose_dns_is_silent_hides_no_forged_one(zone):
    class PartlySilent(ZoneResolver):
        async def query(self, name, rdtype):
            if name.endswith("slow.test"):
                await asyncio.Event().wait()
            return await super().query(name, rdtype)

    message = MESSAGE.replace(b"x@far.test", b"x@slow.test, boss@far.test")
    report = check(message, PartlySilent(zone), mail_from="x@else.test", deadline_seconds=0.5)
    assert (report.dmarc.result, report.dmarc.from_domain) == ("fail", "far.test")
    assert "dmarc of slow.test" in report.unfinished


def test_what_a_bug_breaks_is_temperror(monkeypatch, zone):
    async def broken(*arguments, **named):
        raise RuntimeError("boom")

    monkeypatch.setattr("mailsuite.mailauth.spf.check_host", broken)
    report = check(MESSAGE, ZoneResolver(zone))
    # SPF might have spoken for the author: nobody is refused for our bug.
    assert (report.spf.result, report.dmarc.result) == ("temperror", "temperror")


def test_a_crowd_of_signatures_costs_ten(far, zone):
    crowd = dict(zone)
    message = MESSAGE
    for number in range(50):
        crowd[f"n{number}._domainkey.far.test", "TXT"] = [far.record.encode()]
        message = far.sign(message, f"n{number}")
    resolver = ZoneResolver(crowd)
    assert len(check(message, resolver).dkim) == 10
    assert len([name for name, _ in resolver.asked if "_domainkey" in name]) == 10


def test_a_message_asks_so_many_questions_and_keeps_fewer():
    async def run() -> None:
        questions = Questions(ZoneResolver({}), limit=150)
        answers = [await questions.query(f"n{number}.test", "A") for number in range(200)]
        assert [one.status for one in answers].count(Status.TEMPERROR) == 50
        assert len(questions.asked) == MAX_QUESTIONS

    asyncio.run(run())


def test_who_waits_for_one_answer_shares_it():
    asked = []

    class Slow:
        async def query(self, name, rdtype):
            asked.append(name)
            await asyncio.sleep(0)
            return Answer(Status.OK, (b"x",), 300)

    async def run() -> None:
        questions = Questions(Slow())
        questions.foresee([("a.test", "TXT")])
        first, second = await asyncio.gather(questions.query("a.test", "TXT"), questions.query("A.test.", "TXT"))
        assert first == second and asked == ["a.test"]

    asyncio.run(run())


@pytest.fixture(scope="module")
def sealed(far, zone):
    """A list changed a signed message, said that DMARC had passed, and sealed it. With the zone that has its key."""
    lists = Signer("lists.test")
    message = far.sign(MESSAGE).replace(b"Subject: hi", b"Subject: [list] hi")
    length = header_end(message, 0, len(message))
    body = RelaxedBodyHash()
    body.update(message[length:])
    claims = payload("mx.lists.test", [Result("dkim", "pass"), Result("dmarc", "pass")])
    key = SigningKey("lists.test", "s1", "rsa", lists._pem.decode())
    fields = seal(Header.parse(message[:length]), body.digest(), claims, "none", 1, key, 1_700_000_000)
    return fields + message, zone | {("s1._domainkey.lists.test", "TXT"): [lists.record.encode()]}


@pytest.mark.parametrize(("trusted", "by"), [(("lists.test",), "lists.test"), ((), ""), (("other.test",), "")])
def test_only_a_trusted_seal_convinces(sealed, trusted, by):
    message, zone = sealed
    assert (
        dkim.arc_verify(message, dnsfunc=lambda name, timeout=5: zone[name.decode().rstrip("."), "TXT"][0])[0]
        == b"pass"
    )
    report = check(message, ZoneResolver(zone), address="198.51.100.1", mail_from="list@lists.test", trusted=trusted)
    assert (report.dmarc.result, report.arc.result, report.arc.trusted_by) == ("fail", "pass", by)
    assert report.arc.claims == ("dkim=pass", "dmarc=pass")
    assert (report.arc.cv, report.arc.instance) == ("pass", 1)


def test_a_broken_seal_convinces_nobody(sealed):
    message, zone = sealed
    report = check(message + b"more\r\n", ZoneResolver(zone), address="198.51.100.1", trusted=("lists.test",))
    assert (report.arc.result, report.arc.trusted_by, report.arc.claims) == ("fail", "", ())


def test_results_for_the_null_reverse_path_name_the_greeting_alone(zone):
    report = check(MESSAGE, ZoneResolver(zone), mail_from="")
    spf = [one for one in results(report) if one.method == "spf"]
    assert [one.properties for one in spf] == [(("smtp.helo", "mail.far.test"),)]
    assert report.spf.identity == "mailfrom" and report.spf.domain == "mail.far.test"
