"""Postfix's client as oracle: both it and ours are sent to the same hosts that answer oddly, one attempt each.

Outcomes are the same, recipient for recipient, or the difference is one of REASONS. Some dozens of streams run here;
ODD_STREAMS=1000 runs more, by hand, with hosts among them that have a client wait in vain.
"""

import asyncio
import os
import re
import smtplib
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from odd_hosts import Hosts, Stream, can_be_told, make_stream
from running_suite import free_port
from tls_policies import Opportunistic

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from smtpd_service.outbound.courier import Courier, Letter
from smtpd_service.outbound.destinations import NextHop
from smtpd_service.outbound.routing import RouteFacts, Security
from smtpd_service.outbound.smtp_client import SmtpClient
from smtpd_service.outbound.transaction import Fate, Mail
from smtpd_service.outbound.transport import Endpoint

pytestmark = [pytest.mark.interop, pytest.mark.sqlite_only]

COUNT = int(os.environ.get("ODD_STREAMS", "60"))
# The larger run has hosts, too, that a client waits for.
WAITS = COUNT > 200
SECONDS = 3
TOGETHER = 50
BODY = b"Subject: x\r\n\r\nHello\r\n"
SERVICES = """\
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - {together} smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
SETTINGS = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = us.test
mydestination =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
transport_maps = texthash:{folder}/transport
minimal_backoff_time = 3000s
queue_run_delay = 3000s
smtp_helo_timeout = {seconds}s
smtp_mail_timeout = {seconds}s
smtp_rcpt_timeout = {seconds}s
smtp_data_init_timeout = {seconds}s
smtp_data_xfer_timeout = {seconds}s
smtp_data_done_timeout = {seconds}s
smtp_rset_timeout = 1s
smtp_quit_timeout = 1s
smtp_connection_cache_on_demand = no
"""
STATUS = re.compile(r"postfix/smtp\[\d+\]: \w+: to=<([^>]+)>.* status=(sent|deferred|bounced) ")
WORDS = {Fate.DELIVERED: "sent", Fate.LATER: "deferred", Fate.UNKNOWN: "deferred", Fate.NEVER: "bounced"}


class Postfix:
    """Under one folder, sending to the hosts in its transport table."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder, self.port = folder, free_port()
        for name in ("queue", "data"):
            (folder / name).mkdir()
        subprocess.run(["chown", "postfix", folder / "data"], check=True)
        lines = [f"{domain} smtp:[127.0.0.1]:{port}\n" for domain, port in ports.items()]
        (folder / "transport").write_text("".join(lines) + "us.test discard:\n")
        (folder / "main.cf").write_text(SETTINGS.format(folder=folder, seconds=SECONDS))
        services = SERVICES.format(port=f"127.0.0.1:{self.port}", together=TOGETHER)
        (folder / "master.cf").write_text(services)

    def control(self, verb: str) -> None:
        # No pipes: the daemons would inherit them.
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["postfix", "-c", self.folder, verb], check=True, **quiet)

    def outcomes(self, streams: list[Stream]) -> dict[str, str]:
        """What became of each address, once that is known of all."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            for stream in streams:
                assert client.sendmail("ann@us.test", stream.addresses, BODY) == {}
        wanted, deadline = {one for stream in streams for one in stream.addresses}, time.monotonic() + 60 + COUNT
        while True:
            found = dict(STATUS.findall((self.folder / "log").read_text()))
            if wanted <= found.keys():
                return found
            assert time.monotonic() < deadline, wanted - found.keys()
            time.sleep(0.1)


async def our_outcomes(streams: list[Stream], ports: dict[str, int]) -> dict[str, str]:
    """The same of one attempt of ours."""
    few, found = asyncio.Semaphore(TOGETHER), dict[str, str]()

    async def body():
        yield BODY

    async def may_finish():
        return True

    async def deliver(stream: Stream) -> None:
        route = RouteFacts("*", "127.0.0.1", ports[stream.domain], Security.OPPORTUNISTIC)
        async with few:
            courier = Courier(
                NextHop(stream.domain, route), destinations=Route(), policy=Opportunistic(), helo="us.test", allowed=()
            )
            mail = Mail(Envelope("ann@us.test"), [EnvelopeRecipient(one) for one in stream.addresses], len(BODY))
            deliveries = await courier.deliver(Letter(mail, body, may_finish, lambda: None))
            await courier.close()
        for address, delivery in zip(stream.addresses, deliveries, strict=True):
            found[address] = WORDS[delivery.outcome.fate]

    await asyncio.gather(*map(deliver, streams))
    return found


class Route:
    async def endpoints(self, hop: NextHop):
        return [Endpoint(hop.route.host, hop.route.host, hop.route.port)]


@pytest.fixture(scope="module")
def both(require_program):
    """(streams, Postfix's outcomes, ours, how often each had the hosts take a message)"""
    require_program("postfix")
    streams = [make_stream(number, silent=WAITS) for number in range(COUNT)]
    with tempfile.TemporaryDirectory(prefix="mailsuite-postfix-") as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(SmtpClient, "timeout_seconds", float(SECONDS))
        Path(name).chmod(0o755)
        return asyncio.run(run_both(streams, Path(name)))


async def run_both(streams, folder):
    hosts = Hosts()
    ports = {stream.domain: await hosts.serve(stream) for stream in streams}
    ours = await our_outcomes(streams, ports)
    taken = {stream.number: Counter(hosts.taken(stream.number)) for stream in streams}
    for sessions in hosts.sessions.values():
        sessions.clear()
    postfix = Postfix(folder, ports)
    postfix.control("start")
    try:
        theirs = await asyncio.to_thread(postfix.outcomes, streams)
    finally:
        postfix.control("stop")
    their_taken = {stream.number: Counter(hosts.taken(stream.number)) for stream in streams}
    await hosts.close()
    return streams, theirs, ours, their_taken, taken


# By Postfix's outcome, ours, and an oddity that the stream has: why ours is another one.
PASSED_OVER = "Postfix takes it for the reply and bounces or defers; we pass over what can't be one"
NEARLY = "Postfix passes it over and waits in vain, or takes the next reply for it; we take it for what it nearly is"
OUT_OF_STEP = "Postfix takes it for the answer to the next command; we notice, and nothing that was said counts"
ONE_BY_ONE = "in the same attempt we ask once more, one command after the other, and that goes well"
HUNG_UP = "of an envelope amid which the host hung up only the first refusal counts for us"
QUIT_ANSWERED = "Postfix sends QUIT with the final dot and takes its reply for the dot's, whatever became of the mail"
TWICE = ("twice", "twice late")
ANOTHER_CODE = ("1yz before", "9yz before", "354 once more")
NEARLY_ONE = ("no blank after the code", "a leading blank")
WITHOUT_CRLF = "code and blank of the last line are there, which what was cut off can't have changed"
GETS_THROUGH = {
    "closed without CRLF": WITHOUT_CRLF,
    **dict.fromkeys(ANOTHER_CODE, PASSED_OVER),
    **dict.fromkeys(NEARLY_ONE, NEARLY),
    **dict.fromkeys(TWICE, ONE_BY_ONE),
}
REASONS = {
    ("bounced", "sent"): GETS_THROUGH,
    ("deferred", "sent"): GETS_THROUGH,
    ("deferred", "bounced"): GETS_THROUGH,
    ("bounced", "deferred"): {
        **dict.fromkeys((*TWICE, *ANOTHER_CODE, *NEARLY_ONE, "nothing"), OUT_OF_STEP),
        **dict.fromkeys(("421", "closed before", "closed without CRLF", "closed amid the code"), HUNG_UP),
    },
    ("sent", "bounced"): dict.fromkeys(NEARLY_ONE, QUIT_ANSWERED),
    ("sent", "deferred"): {
        **dict.fromkeys(("nothing", *NEARLY_ONE), QUIT_ANSWERED),
        **dict.fromkeys(TWICE, OUT_OF_STEP),
    },
}


def test_outcomes_are_the_same_or_differ_for_a_reason(both):
    streams, theirs, ours, _, _ = both
    unexplained, reasons = [], Counter()
    for stream in streams:
        for address in stream.addresses:
            known = REASONS.get((theirs[address], ours[address]), {})
            why = next((known[how] for how in stream.odd.values() if how in known), "")
            if theirs[address] != ours[address]:
                reasons[why] += 1
                if not why:
                    unexplained.append(f"{theirs[address]}, ours {ours[address]}: {address} {stream}")
    print(Counter(theirs.values()), Counter(ours.values()), reasons)
    assert not unexplained, "\n".join(unexplained)
    assert sum(theirs[one] == ours[one] for one in theirs) > len(theirs) // 2


def test_ours_are_true(both):
    """Nothing is lost, sent twice, or bounced for another: what the hosts took and refused is known."""
    streams, theirs, ours, their_taken, taken = both
    wrong = Counter()
    for stream in filter(can_be_told, streams):
        for index, address in enumerate(stream.addresses):
            assert taken[stream.number][address] <= 1, f"sent twice: {address} {stream}"
            assert taken[stream.number][address] or ours[address] != "sent", f"lost: {address} {stream}"
            assert stream.may_bounce(index) or ours[address] != "bounced", f"bounced: {address} {stream}"
            wrong["lost"] += theirs[address] == "sent" and not their_taken[stream.number][address]
            wrong["bounced"] += theirs[address] == "bounced" and not stream.may_bounce(index)
    print("the oracle's own:", dict(wrong))
