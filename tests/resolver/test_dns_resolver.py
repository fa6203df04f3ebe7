"""The resolver against a real DNS server on loopback."""

import asyncio

import pytest
from dns_server import DnsServer

from mailsuite.resolver import breaker
from mailsuite.resolver.answers import Answer, Mx, Status, Tlsa, ZoneResolver
from mailsuite.resolver.dns_resolver import DnsResolver, split_server

RECORDS = {
    ("example.org", "MX"): ["20 MX2.example.org.", "10 mx.example.org."],
    ("mx.example.org", "A"): ["192.0.2.1", "192.0.2.2"],
    ("mx.example.org", "AAAA"): ["2001:db8::1"],
    ("null.test", "MX"): ["0 ."],
    ("example.org", "TXT"): ['"v=spf1 " "-all"'],
    ("_25._tcp.mx.example.org", "TLSA"): [f"3 1 1 {'00ff' * 16}"],
    ("other.test", "CNAME"): ["mx.example.org."],
    ("large.test", "TXT"): [f'"{letter * 200}"' for letter in "abcdefghijklm"],
    ("a\\.b c\\065\\.test", "A"): ["192.0.2.7"],
    ("broken.test", "A"): "servfail",
    ("silent.test", "A"): "silent",
}


def ask(*questions: tuple[str, str], deadline_seconds: float = 5.0, ad: bool = False) -> tuple[list[Answer], DnsServer]:
    async def run(server: DnsServer) -> list[Answer]:
        resolver = DnsResolver(server.address, deadline_seconds=deadline_seconds)
        return list(await asyncio.gather(*(resolver.query(*question) for question in questions)))

    with DnsServer(RECORDS, ad=ad) as server:
        return asyncio.run(run(server)), server


@pytest.mark.parametrize(
    "name, rdtype, status, rdata",
    [
        ("example.org", "MX", Status.OK, {Mx(20, "mx2.example.org"), Mx(10, "mx.example.org")}),
        ("Example.ORG.", "mx", Status.OK, {Mx(20, "mx2.example.org"), Mx(10, "mx.example.org")}),
        ("mx.example.org", "A", Status.OK, {"192.0.2.1", "192.0.2.2"}),
        ("mx.example.org", "AAAA", Status.OK, {"2001:db8::1"}),
        ("other.test", "AAAA", Status.OK, {"2001:db8::1"}),
        ("null.test", "MX", Status.OK, {Mx(0, "")}),
        ("example.org", "TXT", Status.OK, {b"v=spf1 -all"}),
        ("_25._tcp.mx.example.org", "TLSA", Status.OK, {Tlsa(3, 1, 1, b"\x00\xff" * 16)}),
        ("mx.example.org", "MX", Status.NODATA, set()),
        ("absent.test", "MX", Status.NXDOMAIN, set()),
        ("broken.test", "A", Status.TEMPERROR, set()),
        (f"{'a' * 64}.test", "A", Status.NXDOMAIN, set()),
        ("double..dot", "A", Status.NXDOMAIN, set()),
        (".".join(["label"] * 60), "A", Status.NXDOMAIN, set()),
        # SPF's macros put a sender's local-part into names, octet by octet
        ("a\\.b c\\065\\.test", "A", Status.OK, {"192.0.2.7"}),
        ("mx.example.org\\", "A", Status.NXDOMAIN, set()),
        ("", "A", Status.NXDOMAIN, set()),
        ("\udc80.test", "A", Status.NXDOMAIN, set()),
    ],
)
def test_answers(name, rdtype, status, rdata):
    [answer], _ = ask((name, rdtype))
    assert (answer.status, set(answer.rdata)) == (status, rdata)


def test_a_server_that_is_silent_is_a_temporary_error_within_the_deadline():
    [answer], _ = ask(("silent.test", "A"), deadline_seconds=0.3)
    assert answer.status is Status.TEMPERROR


def test_a_large_answer_comes_by_tcp():
    [answer], server = ask(("large.test", "TXT"))
    assert len(answer.rdata) == 13
    assert [transport for *_, transport in server.questions] == ["udp", "tcp"]


@pytest.mark.parametrize("count, status", [(500, Status.OK), (501, Status.TEMPERROR)])
def test_an_answer_of_very_many_records_is_not_read(count, status):
    """dnspython's time for one grows with the square of their number."""
    records = {("crowd.test", "A"): [f"10.0.{number >> 8}.{number & 255}" for number in range(count - 1)]}

    async def run(server: DnsServer) -> Answer:
        return await DnsResolver(server.address).query("crowd.test", "A")

    with DnsServer(records) as server:
        answer = asyncio.run(run(server))
    # The answer's OPT record (RFC 6891) is one too.
    assert (answer.status, len(answer.rdata)) == (status, count - 1 if status is Status.OK else 0)


def test_equal_questions_are_asked_once():
    answers, server = ask(*[("mx.example.org", "A")] * 20)
    assert len(set(answers)) == 1
    assert len(server.questions) == 1


def test_answers_are_remembered_negative_ones_too():
    async def run(server):
        resolver = DnsResolver(server.address)
        return [await resolver.query("absent.test", "A") for _ in range(3)]

    with DnsServer(RECORDS) as server:
        first, *_ = asyncio.run(run(server))
    assert len(server.questions) == 1
    assert first.ttl == 30


def test_one_who_gives_up_does_not_take_the_answer_from_the_others():
    async def run(server):
        resolver = DnsResolver(server.address)
        first = asyncio.create_task(resolver.query("mx.example.org", "A"))
        second = asyncio.create_task(resolver.query("mx.example.org", "A"))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    with DnsServer(RECORDS) as server:
        assert asyncio.run(run(server)).status is Status.OK


@pytest.mark.parametrize("ad", [True, False])
def test_the_word_of_a_validating_resolver_on_loopback_is_believed(ad):
    answers, _ = ask(("mx.example.org", "A"), ("mx.example.org", "MX"), ("absent.test", "A"), ad=ad)
    assert [answer.secure for answer in answers] == [ad] * 3


def test_a_server_elsewhere_is_not_believed():
    async def trusted(address):
        return DnsResolver(address)._is_trusted

    assert not asyncio.run(trusted("192.0.2.1:53"))
    assert asyncio.run(trusted("[::1]:53"))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("127.0.0.1", ("127.0.0.1", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("::1", ("::1", 53)),
        ("ns.example.org:54", ("ns.example.org", 54)),
    ],
)
def test_the_setting(text, expected):
    assert split_server(text) == expected


@pytest.mark.parametrize("text", ["127.0.0.1:x", ":53", "host:0", "host:65536"])
def test_settings_that_are_none(text):
    with pytest.raises(ValueError):
        split_server(text)


def test_the_zone_resolver_tells_nodata_from_nxdomain():
    zone = ZoneResolver({("example.org", "MX"): [Mx(10, "mx.example.org")], ("a.b.test", "A"): ["192.0.2.1"]})

    async def statuses(*questions):
        return [(await zone.query(*question)).status for question in questions]

    found = asyncio.run(statuses(("Example.org.", "MX"), ("example.org", "A"), ("b.test", "A"), ("c.test", "A")))
    assert found == [Status.OK, Status.NODATA, Status.NODATA, Status.NXDOMAIN]
    assert zone.asked[0] == ("example.org", "MX")


async def _until(condition):
    """Lets the loop go on until something is so; the test's own time limit ends what never comes."""
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it never came true")


SILENCE = {(f"silent{number}.test", "A"): "silent" for number in range(6)} | {
    (".", "NS"): "silent",
    ("", "NS"): "silent",
}


def test_when_no_server_answers_anything_nobody_waits_for_one(monkeypatch):
    """Three questions in vain and one for the root; then none at all, until the pause is over and the root answers."""
    monkeypatch.setattr(breaker, "FIRST_PAUSE_SECONDS", 3600.0)

    async def run(server):
        resolver = DnsResolver(server.address, deadline_seconds=0.2)
        for number in range(3):
            await resolver.query(f"silent{number}.test", "A")
        await _until(lambda: resolver._breaker._pause)
        asked = len(server.questions)
        answers = [await resolver.query("mx.example.org", "A") for _ in range(20)]
        assert {answer.status for answer in answers} == {Status.TEMPERROR}
        assert len(server.questions) == asked
        # The pause is over, and so is the trouble: the first question starts the probe, which lets the next ones pass.
        server.records[(".", "NS")] = ["ns.test."]
        resolver._breaker._paused_until = 0.0
        assert (await resolver.query("mx.example.org", "A")).status is Status.TEMPERROR
        await _until(lambda: not resolver._breaker._pause)
        assert (await resolver.query("mx.example.org", "A")).status is Status.OK

    with DnsServer(RECORDS | SILENCE) as server:
        asyncio.run(run(server))


def test_each_probe_in_vain_makes_the_pause_longer():
    async def run():
        asked = []

        async def probe():
            asked.append(1)
            return False

        one = breaker.Breaker(probe)
        assert not one.is_open
        for _ in range(breaker.SUSPICIOUS):
            one.note(False)
        pauses = []
        for count in range(1, 8):
            await _until(lambda count=count: len(asked) == count and one._probing is None)
            pauses.append(one._pause)
            assert one.is_open and one._probing is None
            one._paused_until = 0.0
            assert one.is_open and one.is_open
        assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]

    asyncio.run(run())


def test_names_that_nobody_answers_about_do_not_stop_the_others():
    """Their own servers are gone, the resolver itself is well: it answers about the root."""

    async def run(server):
        resolver = DnsResolver(server.address, deadline_seconds=0.2)
        for number in range(6):
            await resolver.query(f"silent{number}.test", "A")
        await _until(lambda: resolver._breaker._probing is None)
        return await resolver.query("mx.example.org", "A")

    records = RECORDS | {(f"silent{number}.test", "A"): "silent" for number in range(6)} | {(".", "NS"): ["ns.test."]}
    with DnsServer(records) as server:
        assert asyncio.run(run(server)).status is Status.OK
    assert len([question for question in server.questions if question[1] == "NS"]) <= 2


@pytest.mark.parametrize("word", ["servfail", "nxdomain"])
def test_errors_are_answers_too(word):
    async def run(server):
        resolver = DnsResolver(server.address)
        for number in range(6):
            await resolver.query(f"odd{number}.test", "A")
        return await resolver.query("mx.example.org", "A")

    with DnsServer(RECORDS | {(f"odd{number}.test", "A"): word for number in range(6)}) as server:
        assert asyncio.run(run(server)).status is Status.OK
    assert not [question for question in server.questions if question[1] == "NS"]


def test_a_port_where_nobody_listens_is_silence():
    async def run(address):
        resolver = DnsResolver(address, deadline_seconds=0.2)
        for number in range(3):
            assert (await resolver.query(f"name{number}.test", "A")).status is Status.TEMPERROR
        await _until(lambda: resolver._breaker._pause)

    with DnsServer() as server:
        address = server.address
    asyncio.run(run(address))
