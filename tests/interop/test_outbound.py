"""Mail to other hosts through the whole suite: submitted by a real client, carried by the queue, taken by a sink."""

import email
import email.policy
import imaplib
import os
import signal
import smtplib
import ssl
import subprocess
import sys
import time
from email.message import Message

import pytest
from dns_server import DnsServer
from running_suite import BASE
from smtp_sink import Behaviour, Sink

pytestmark = pytest.mark.interop

PASSWORD = "correct horse battery"
KEEP_STRICT = """
from datetime import UTC, datetime
from mailsuite.mailauth.mtasts import Mode, Policy
from mailsuite.transport_security import known
known.keep("strict.test", "1", Policy(Mode.ENFORCE, ("mx.far.test",), 86400), datetime.now(UTC))
"""
MESSAGE = b"From: Ann <ann@example.org>\r\nTo: %s\r\nSubject: %s\r\n\r\nHello\r\n.dot\r\n"


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


@pytest.fixture
def sending(start_suite, sink):
    """A suite with a mailbox, and a route for everything to the sink."""
    suite = start_suite(MAILSUITE_RETRY="1s,2s", MAILSUITE_LISTEN_SMTP="127.0.0.1:0")
    suite.add_domain("example.org")
    suite.add_mailbox("ann@example.org", PASSWORD)
    suite.manage("route", "add", "*", f"smtp://127.0.0.1:{sink.port}")
    return suite


def submit(suite, *to: str, subject: str = "Hello") -> None:
    context = ssl.create_default_context(cafile=str(suite.certificate))
    with smtplib.SMTP_SSL("localhost", suite.port("SUBMISSIONS"), context=context, timeout=30) as client:
        client.login("ann@example.org", PASSWORD)
        octets = MESSAGE % (", ".join(to).encode(), subject.encode())
        assert client.sendmail("ann@example.org", list(to), octets) == {}


def inbox(suite, count: int, seconds: float = 30) -> list[Message]:
    """The messages in Ann's inbox once there are so many."""
    context = ssl.create_default_context(cafile=str(suite.certificate))
    deadline = time.monotonic() + seconds
    with imaplib.IMAP4_SSL("localhost", suite.port("IMAPS"), ssl_context=context) as client:
        client.login("ann@example.org", PASSWORD)
        while True:
            _, [number] = client.select("INBOX")
            if int(number) >= count or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert int(number) == count
        found = [client.fetch(str(n), "(BODY.PEEK[])")[1][0][1] for n in range(1, count + 1)]
    return [email.message_from_bytes(octets) for octets in found]


def test_mail_goes_out_signed_and_is_settled(sending, sink):
    submit(sending, "bob@far.test", "cy@far.test")
    [message] = sink.wait_for_messages(1)
    assert (message.sender, sorted(message.recipients)) == ("ann@example.org", ["bob@far.test", "cy@far.test"])
    assert b"DKIM-Signature:" in message.data
    assert message.data.endswith(b"Hello\r\n.dot\r\n")
    assert message.data.startswith(b"Received: ")
    # A host that takes ASCII alone gets it signed as well.
    sink.behaviour = Behaviour(extensions=("PIPELINING",))
    submit(sending, "bob@far.test", subject="Grüße")
    _, message = sink.wait_for_messages(2)
    assert message.data.isascii() and message.data.count(b"DKIM-Signature:") == 1
    copy = email.message_from_bytes(message.data, policy=email.policy.default)
    assert (copy["Subject"], copy.get_content()) == ("Grüße", "Hello\r\n.dot\r\n")


def test_what_is_put_off_goes_out_later(sending, sink):
    sink.behaviour = Behaviour(final=lambda count: "451 4.3.0 not now" if count < 2 else "250 2.0.0 taken")
    submit(sending, "bob@far.test")
    sink.wait_for_messages(1)
    assert sink.offered == 3


def test_what_is_refused_comes_back_as_a_notification(sending, sink):
    sink.behaviour = Behaviour(
        recipient=lambda to: "550 5.1.1 nobody of that name" if to.startswith("bob") else "250 ok"
    )
    submit(sending, "bob@far.test", "cy@far.test", subject="To both")
    [report] = inbox(sending, 1)
    assert report["Return-Path"] == "<>"
    assert report["Subject"] == "Not delivered: To both"
    assert report.get_content_type() == "multipart/report"
    assert report["DKIM-Signature"]
    human, status, original = report.get_payload()
    assert "nobody of that name" in human.get_payload()
    assert "cy@far.test" not in human.get_payload()
    assert original.get_payload(0)["Message-ID"] == report["In-Reply-To"]
    assert sink.wait_for_messages(1)[0].recipients == ["cy@far.test"]


def test_a_drop_after_the_final_dot_is_tried_again(sending, sink):
    sink.behaviour = Behaviour(final=lambda count: None if count == 0 else "250 2.0.0 taken")
    submit(sending, "bob@far.test")
    assert len(sink.wait_for_messages(1)) == 1
    assert sink.offered == 2


def test_the_queue_s_command_tells_the_story(sending, sink):
    sink.behaviour = Behaviour(greeting="421 4.3.2 closed for lunch")
    submit(sending, "bob@far.test", subject="Lunch")
    sink.wait_for(lambda: sink.connections >= 1)
    deadline = time.monotonic() + 20
    while "closed for lunch" not in (listed := sending.manage("queue", "list")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "bob@far.test" in listed and "closed for lunch" in listed
    number = next(line for line in listed.splitlines() if "bob@far.test" in line).split()[0]
    shown = sending.manage("queue", "show", number)
    assert "S: 421 4.3.2 closed for lunch" in shown and "bob@far.test" in shown
    sending.manage("queue", "hold", number, "--reason", "waiting for lunch to end")
    assert "waiting for lunch to end" in sending.manage("queue", "list")
    sink.behaviour = Behaviour()
    sending.manage("queue", "release", number)
    sink.wait_for_messages(1)


def test_failing_by_hand_tells_the_sender_and_dropping_nobody(sending, sink):
    sink.behaviour = Behaviour(greeting="421 4.3.2 closed")
    submit(sending, "bob@far.test", subject="First")
    submit(sending, "cy@far.test", subject="Second")
    deadline = time.monotonic() + 20
    while sending.manage("queue", "list").count("closed") < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    rows = {line.split()[0]: line for line in sending.manage("queue", "list").splitlines() if "@far.test" in line}
    bob = next(number for number, line in rows.items() if "bob@" in line)
    cy = next(number for number, line in rows.items() if "cy@" in line)
    # A worker may be trying it at this very moment: then the command says so.
    for verb, number in (("drop", cy), ("fail", bob)):
        while sending.run("queue", verb, number).returncode and time.monotonic() < deadline:
            time.sleep(0.1)
    [report] = inbox(sending, 1)
    assert report["Subject"] == "Not delivered: First"
    assert "@far.test" not in sending.manage("queue", "list")


def test_mx_and_dns_lead_to_the_host(start_suite):
    """Through MX records of a real DNS server, to port 25, and no further where a policy demands TLS."""
    try:
        sink = Sink(host="127.0.0.25", port=25).__enter__()
    except PermissionError:
        pytest.skip("needs the right to listen on port 25 of the loopback (root, or ip_unprivileged_port_start)")
    records = {
        ("far.test", "MX"): ["10 dead.far.test.", "20 mx.far.test."],
        ("dead.far.test", "A"): ["127.0.0.26"],
        ("mx.far.test", "A"): ["127.0.0.25"],
        ("no.test", "MX"): ["0 ."],
        ("strict.test", "MX"): ["10 mx.far.test."],
        ("_mta-sts.strict.test", "TXT"): ['"v=STSv1; id=1"'],
    }
    try:
        with DnsServer(records) as dns:
            suite = start_suite(MAILSUITE_RETRY="1s", MAILSUITE_RESOLVER=dns.address)
            suite.add_domain("example.org")
            suite.add_mailbox("ann@example.org", PASSWORD)
            # Remembered from an earlier fetch; the host there does not offer TLS.
            suite.manage("shell", "-c", KEEP_STRICT)
            submit(suite, "bob@far.test", "dan@no.test", "eve@strict.test")
            [message] = sink.wait_for_messages(1)
            assert message.recipients == ["bob@far.test"]
            [report] = inbox(suite, 1)
            assert "takes no mail" in report.get_payload(0).get_payload()
            deadline = time.monotonic() + 20
            while "MTA-STS policy of strict.test" not in (queue := suite.manage("queue", "list")):
                assert time.monotonic() < deadline, queue
            assert len(sink.messages) == 1
            suite.stop()
    finally:
        sink.__exit__()


def test_killing_the_worker_amid_a_transaction_loses_and_doubles_nothing(sending, sink):
    sink.behaviour = Behaviour(on_data=lambda: sink.wait_for(lambda: sink.open < 1 or len(killed) == 1, 60))
    killed: list[int] = []
    submit(sending, "bob@far.test")
    sink.wait_for(lambda: "DATA" in sink.commands)
    [worker] = sending.services["deliver"]
    os.kill(worker, signal.SIGKILL)
    killed.append(worker)
    sink.wait_for_messages(1, 60)
    deadline = time.monotonic() + 20
    while "@far.test" in sending.manage("queue", "list") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "@far.test" not in sending.manage("queue", "list")
    assert len(sink.messages) == 1


def test_two_workers_never_deliver_one_recipient_twice(sending, sink):
    arguments = [sys.executable, str(BASE / "manage.py"), "deliver"]
    with open(sending.log, "ab") as log:
        second = subprocess.Popen(arguments, env=sending.environment, stdout=log, stderr=log)
    try:
        locks = sending.data / "run"
        deadline = time.monotonic() + 30
        while not (locks / "deliver-1.lock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        sink.behaviour = Behaviour(
            final=lambda count: "451 4.3.0 not now" if count % 3 == 0 else "250 2.0.0 taken",
        )
        everybody = [f"r{n}@d{n % 7}.test" for n in range(70)]
        for start in range(0, 70, 7):
            submit(sending, *everybody[start : start + 7])
        sink.wait_for(lambda: sum(len(message.recipients) for message in sink.messages) >= 70, 60)
        while ".test" in sending.manage("queue", "list") and time.monotonic() < deadline + 60:
            time.sleep(0.1)
    finally:
        second.terminate()
        assert second.wait(30) == 0
    taken = sorted(recipient for message in sink.messages for recipient in message.recipients)
    assert taken == sorted(everybody)
    assert ".test" not in sending.manage("queue", "list")


def test_a_store_that_dies_before_the_result_is_written_doubles_nothing(sending, sink):
    def kill_store() -> None:
        for pid in sending.services["store"]:
            os.kill(pid, signal.SIGKILL)

    submit(sending, "bob@far.test")
    sink.wait_for_messages(1)
    sink.behaviour = Behaviour(on_final=kill_store)
    submit(sending, "cy@far.test")
    sink.wait_for_messages(2)
    deadline = time.monotonic() + 30
    while "@far.test" in sending.manage("queue", "list") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "@far.test" not in sending.manage("queue", "list")
    assert len(sink.messages) == 2
