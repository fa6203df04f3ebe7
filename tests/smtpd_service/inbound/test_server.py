"""Real sockets, a real event loop, a store that only remembers."""

import contextlib
import errno
import fcntl
import json
import queue
import random
import socket
import ssl
import termios
import threading
import time
from datetime import UTC, datetime

import pytest
from django.db import OperationalError
from resolutions import resolved
from smuggling import SMUGGLED
from stored_mail import EVER

from mailsuite.directory.resolution import LocalTarget, ReportTarget
from mailsuite.mail import srs
from mailsuite.mail.address import Address
from mailsuite.pipeline import decisions
from mailsuite.server.turned_away import TOLD_ONE_BY_ONE
from mailsuite.store.operations import ReportDelivery
from mailsuite.writer import local_storage
from mailsuite.writer import spool as spool_module
from mailsuite.writer.operation import Refused, StoreBug, StoreUnavailable
from smtpd_service.inbound import listener as listener_module
from smtpd_service.inbound import server as server_module


def spooled(server):
    return list(server.storage.spooled_before(EVER))


def test_message_is_filed_before_it_is_acknowledged(server):
    talk = server.connect()
    reply = talk.mail(b"Subject: hi\r\n\r\n..dot\r\n", "ann@example.org")
    assert reply.startswith("250 2.0.0 queued as 0")
    [(operation, octets)] = server.store.delivered
    assert octets == b"Subject: hi\r\n\r\n.dot\r\n"
    [local] = operation.local
    assert (local.mailbox_id, local.address) == (1, "ann@example.org")
    assert local.prefix.startswith(
        b"Return-Path: <x@other.example>\r\nDelivered-To: ann@example.org\r\n"
        b"Received: from client.example ([127.0.0.1])\r\n\tby mx.example.org with ESMTP id "
    )
    assert b"\r\n\tfor <ann@example.org>; " in local.prefix
    story = operation.story
    assert (story.kind, story.outcome, story.client_address, story.client_name) == (
        *("inbound", "accepted", "127.0.0.1", "client.example"),
    )
    assert json.loads(story.data) == {
        "listener": "SMTP",
        "helo": "client.example",
        "recipients": ["ann@example.org"],
        "reply": reply,
    }
    assert talk.ask("QUIT").startswith("221 2.0.0 ")
    assert talk.closed()


def test_nothing_is_acknowledged_before_the_store_answers(server):
    server.store.hold = threading.Event()
    talk = server.connect()
    talk.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [talk.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    talk.send(b"hi\r\n.\r\n")
    assert server.store.asked.wait(10)
    talk.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        talk.reply()
    talk.sock.settimeout(10)
    server.store.hold.set()
    assert talk.reply().startswith("250 2.0.0 ")


ANN, BOB = "ann@example.org", "bob@example.org"


def removes(server, *names):
    """From the moment that the store is asked these are gone, and it says so."""

    async def run(operation):
        for name in names:
            server.directory.people.pop(name, None)
        raise Refused("nonexistent", "mailbox 1 is gone")

    server.store.run = run


@pytest.mark.parametrize(
    ("recipients", "removed", "reply", "reason"),
    [
        ([ANN], [ANN], "550 5.1.1 ", "unknown-recipient"),
        ([ANN, BOB], [ANN, BOB], "550 5.1.1 ", "unknown-recipient"),
        # One reply for all: whoever is left gets it when it comes again, and the sender hears of the other at its RCPT.
        ([ANN, BOB], [ANN], "451 4.3.0 ", "recipient-removed"),
        # An alias that led there, say, leads elsewhere by now.
        ([ANN], [], "451 4.3.0 ", "recipient-removed"),
    ],
)  # fmt: skip
def test_a_mailbox_that_is_removed_before_the_final_dot_is_not_claimed_to_have_got_it(
    server, recipients, removed, reply, reason
):
    removes(server, *removed)
    talk = server.connect()
    assert talk.mail(b"Subject: late\r\n\r\n", *recipients).startswith(reply)
    assert server.store.reasons == [reason] and spooled(server) == []


def test_client_that_leaves_while_the_store_works_undoes_nothing(server):
    server.store.hold = threading.Event()
    talk = server.connect()
    talk.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA", b"hi\r\n.\r\n")
    assert server.store.asked.wait(10)
    talk.close()
    server.store.hold.set()
    other = server.connect()
    assert other.mail(b"\r\n", "bob@example.org").startswith("250 ")
    assert len(server.store.delivered) == 2


@pytest.mark.parametrize(
    "error", [StoreUnavailable("away"), StoreBug("abc"), Refused("nonexistent", "gone"), OSError()]
)
def test_trouble_with_the_store_is_temporary(server, error):
    talk = server.connect()
    server.store.error = error
    assert talk.mail(b"\r\n", "ann@example.org").startswith("451 4.3.0 ")
    server.store.error = None
    assert talk.mail(b"\r\n", "ann@example.org").startswith("250 ")


def test_a_message_that_is_too_much_for_the_store_is_refused_for_good(server):
    talk = server.connect()
    server.store.error = Refused("limit", "too much")
    assert talk.mail(b"\r\n", "ann@example.org").startswith("554 5.5.3 The recipients lead to too many mailboxes")


@pytest.mark.parametrize("error", [TimeoutError(), OperationalError("canceling statement due to lock timeout")])
def test_a_directory_that_does_not_answer_is_no_bug(server, caplog, error):
    server.directory.broken = error
    talk = server.connect()
    talk.ask("MAIL FROM:<x@other.example>")
    assert talk.ask("RCPT TO:<ann@example.org>").startswith("451 4.3.0 ")
    assert server.store.reasons == ["store-unavailable"]
    assert "the directory can't be asked" in caplog.text and "Traceback" not in caplog.text


def test_a_bug_answers_451_with_an_id_and_no_internals(server, caplog):
    talk = server.connect()
    server.directory.broken = RuntimeError("secret detail")
    assert talk.ask("MAIL FROM:<x@other.example>").startswith("250 ")
    reply = talk.ask("RCPT TO:<ann@example.org>")
    assert reply.startswith("451 4.3.0 Temporary error here, try again later (0")
    assert "secret" not in reply
    assert reply[-14:-1] in caplog.text
    server.directory.broken = None
    assert talk.ask("RCPT TO:<ann@example.org>").startswith("250 ")


def test_one_content_for_many_and_one_delivery_for_each_mailbox(server):
    talk = server.connect()
    recipients = ("ann@example.org", "Ann+lists@example.org", "bob@example.org", "postmaster")
    assert talk.mail(b"\r\n", *recipients).startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert [local.mailbox_id for local in operation.local] == [1, 2]
    assert all(b"\r\n\tfor <" not in local.prefix for local in operation.local)


def test_detail_names_a_folder(server):
    talk = server.connect()
    talk.mail(b"\r\n", "ann+Lists@example.org")
    talk.mail(b"\r\n", "ann+Trash@example.org")
    assert [operation.local[0].folder for operation, _ in server.store.delivered] == ["Lists", ""]


REFUSED = [
    ("x@elsewhere.example", "550 5.7.1 ", "relaying-denied"),
    ("x%elsewhere.example@other.example", "550 5.7.1 ", "relaying-denied"),
    ("nobody@example.org", "550 5.1.1 ", "unknown-recipient"),
    ("x@disabled.example", "450 4.2.1 ", "recipient-disabled"),
    ("SRS0=aaaaaaaa=AA=other.example=x@example.org", "550 5.1.1 ", "rewritten-sender-invalid"),
]


@pytest.mark.parametrize(("recipient", "reply", "reason"), REFUSED)
def test_refused_recipients_are_told_with_the_same_word(server, recipient, reply, reason):
    talk = server.connect()
    talk.send("MAIL FROM:<x@other.example>", f"RCPT TO:<{recipient}>")
    talk.reply()
    got = talk.reply()
    assert got.startswith(reply)
    assert got.endswith(f"({reason})")
    [told] = server.store.told
    outcome = "deferred" if reply.startswith("4") else "refused"
    assert (told.story.outcome, told.story.reason, told.network) == (outcome, reason, "127.0.0.0/24")
    [event] = told.story.events
    assert (event.kind, event.address, event.reason, event.text) == ("refused", recipient, reason, got)


def test_full_mailbox(server):
    talk = server.connect()
    assert talk.ask("MAIL FROM:<x@other.example> SIZE=10").startswith("250 ")
    assert talk.ask("RCPT TO:<full@example.org>").startswith("250 ")
    assert talk.ask("RSET").startswith("250 ")
    assert talk.ask("MAIL FROM:<x@other.example> SIZE=100").startswith("250 ")
    assert talk.ask("RCPT TO:<full@example.org>").startswith("452 4.2.2 ")
    server.directory.used[3] = 1000
    assert talk.ask("RSET").startswith("250 ")
    assert talk.ask("MAIL FROM:<x@other.example>").startswith("250 ")
    assert talk.ask("RCPT TO:<full@example.org>").startswith("452 4.2.2 ")
    assert server.store.told[-1].story.outcome == "deferred"


def test_a_message_larger_than_its_sender_said_finds_the_mailbox_full(server):
    talk = server.connect()
    assert talk.mail(b"Subject: more than 20 octets\r\n\r\n", "full@example.org").startswith("452 4.2.2 ")
    assert spooled(server) == []
    assert talk.mail(b"Subject: hi\r\n\r\n", "full@example.org").startswith("250 ")
    # One of several is like an alias to several: who has room gets it, and the sender can't be told of one alone.
    content = b"Subject: more than 20 octets\r\n\r\n"
    assert talk.mail(content, "full@example.org", "ann@example.org").startswith("250 ")


def test_disk_nearly_full(make_server):
    talk = make_server(disk_reserve_octets=1 << 60).connect()
    assert talk.ask("MAIL FROM:<x@other.example>").startswith("452 4.3.1 ")


def test_disk_that_fills_amid_a_message(make_server, monkeypatch):
    server = make_server(disk_reserve_octets=1000)
    talk = server.connect()
    talk.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [talk.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    monkeypatch.setattr(server.spool, "free_octets", lambda: 999)
    assert talk.ask(b"Subject: x\r\n\r\n.\r\n").startswith("452 4.3.1 ")
    assert spooled(server) == []
    monkeypatch.setattr(server.spool, "free_octets", lambda: 1001)
    assert talk.mail(b"\r\n", "ann@example.org").startswith("250 ")


def test_disk_that_is_full_at_the_end_of_a_message(server, monkeypatch, caplog):
    def full(descriptor, octets):
        raise OSError(errno.ENOSPC, "No space left on device")

    talk = server.connect()
    talk.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [talk.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    monkeypatch.setattr(local_storage.os, "write", full)
    talk.send(b"Subject: x\r\n\r\n" + b"x" * 300_000 + b"\r\n.\r\n")
    reply = talk.reply()
    monkeypatch.undo()
    assert reply.startswith("452 4.3.1 ")
    assert "Traceback" not in caplog.text
    assert spooled(server) == []
    assert server.store.reasons == ["storage-full"]


def test_so_many_messages_a_connection(make_server):
    talk = make_server(messages_per_connection=2).connect()
    for _ in range(2):
        assert talk.mail(b"\r\n", "ann@example.org").startswith("250 ")
    assert talk.ask("MAIL FROM:<x@other.example>").startswith("421 4.7.0 ")
    assert talk.closed()


def test_the_longest_idle_makes_room_for_a_newcomer(make_server):
    """But never one whose message is on its way."""
    server = make_server(total=2)
    sending, idle = server.connect(), server.connect()
    sending.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [sending.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    third = server.connect()
    assert idle.reply() == "421 4.7.0 Idle for too long while others wait, connect again"
    assert idle.closed()
    assert len(server.admission) == 2
    assert sending.ask(b"\r\n.\r\n").startswith("250 ")
    assert third.mail(b"\r\n", "ann@example.org").startswith("250 ")


def test_where_all_bring_messages_the_newcomer_is_refused(make_server):
    server = make_server(total=1)
    sending = server.connect()
    sending.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [sending.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    newcomer = server.connect(hello=None)
    assert newcomer.reply() == "421 4.7.0 Too many connections, try again later (too-many-connections)"
    assert newcomer.closed()
    assert server.store.reasons == ["too-many-connections"]


def test_a_crowd_at_a_full_door_is_told_of_by_its_number(make_server):
    server = make_server(total=1)
    sending = server.connect()
    sending.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [sending.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    for _ in range(TOLD_ONE_BY_ONE + 5):
        assert server.connect(hello=None).reply().startswith("421 ")
    assert server.store.reasons == ["too-many-connections"] * TOLD_ONE_BY_ONE


def test_content_that_only_drips_is_no_progress(make_server):
    server = make_server(total=1, limits={"honest_seconds": -1.0})
    dripping = server.connect()
    dripping.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [dripping.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    server.connect()
    assert dripping.reply().startswith("421 4.7.0 ")


@pytest.mark.parametrize("door", ["SMTP", "SUBMISSION"])
def test_words_without_a_message_or_a_login_do_not_keep_a_connection(make_server, door):
    limits = {"tick_seconds": 0.01, "idle_commands": 10**9, "without_message_seconds": 0.1, "login_seconds": 0.1}
    talk = make_server(limits=limits).connect(door)
    while (reply := talk.ask("NOOP")).startswith("250 "):
        pass
    assert reply.startswith("421 4.4.2 ")


def test_a_connection_ends_between_two_messages_after_long_use(make_server):
    talk = make_server(limits={"life_seconds": 0.0}).connect()
    assert talk.mail(b"\r\n", "ann@example.org").startswith("250 ")
    assert talk.reply().startswith("421 4.3.2 ")
    assert talk.closed()


def test_who_has_logged_in_is_no_stranger(make_server):
    server = make_server(total=1, limits={"life_seconds": 0.0, "without_message_seconds": 0.0})
    talk = server.log_in()
    assert talk.mail(b"From: ann@example.org\r\n\r\n", "ann@example.org", sender="ann@example.org").startswith("250 ")
    assert talk.ask("NOOP").startswith("250 ")
    assert server.connect("SUBMISSION", hello=None).reply().startswith("421 4.7.0 ")


def test_what_all_sessions_hold_together_is_bounded(make_server):
    """Many long headers at once: they go to disk, what is not read waits with its sender, and all arrive."""
    server = make_server()
    budget = server.spool.budget
    budget.limit = 2_000_000
    header = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 900) for number in range(250))
    talks = [server.connect() for _ in range(30)]
    for talk in talks:
        talk.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
        assert [talk.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    for talk in talks:
        talk.send(header)
    # What comes in one moment may go beyond it; what stays may not.
    deadline = time.monotonic() + 10
    while (has_unsent(talks) or budget.held >= budget.limit) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not has_unsent(talks) and budget.held < budget.limit
    assert [talk.ask(b"\r\n.\r\n")[:3] for talk in talks] == ["250"] * 30
    server.close()
    assert budget.held == 0


def has_unsent(talks):
    """Whether the other side's kernel has yet to take something."""
    return any(fcntl.ioctl(talk.sock, termios.TIOCOUTQ, bytes(4)) != bytes(4) for talk in talks)


def test_while_too_much_is_held_no_message_is_begun(make_server):
    server = make_server()
    talk = server.connect()
    server.spool.budget.take(server.spool.budget.limit)
    assert talk.ask("MAIL FROM:<x@other.example>").startswith("250 ")
    assert talk.ask("RCPT TO:<ann@example.org>").startswith("250 ")
    assert talk.ask("DATA") == "452 4.3.1 Too many messages are being received, try again soon (too-busy)"
    server.spool.budget.give(server.spool.budget.limit)
    assert talk.mail(b"\r\n", "ann@example.org").startswith("250 ")


def test_a_crowd_at_one_door_does_not_shut_the_other(make_server):
    server = make_server(total=1)
    server.connect().send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    server.log_in()


@pytest.mark.parametrize("octets", SMUGGLED)
def test_smuggling_is_refused_and_nothing_is_run(server, octets):
    talk = server.connect()
    talk.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [talk.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    smuggled = b"MAIL FROM:<admin@example.org>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nevil\r\n"
    got = talk.ask(octets + smuggled + b".\r\n")
    assert got == "554 5.6.0 Message has a bare CR or LF, end lines with CRLF (bare-line-ending)"
    assert talk.ask("NOOP").startswith("250 ")
    assert server.store.delivered == []
    assert spooled(server) == []


def test_nul_is_refused(server):
    talk = server.connect()
    assert talk.mail(b"a\0b\r\n", "ann@example.org").startswith("554 5.6.0 ")
    assert server.store.reasons == ["nul-octet"]


@pytest.mark.parametrize(
    ("content", "stored", "told"),
    [
        (b"Hello there\r\n\r\nSee you\r\n", b"\r\nHello there\r\n\r\nSee you\r\n", "before line 1"),
        (b" Hello\r\n", b"\r\n Hello\r\n", "before line 1"),
        (b"Subject: x\r\nHello there\r\n", b"Subject: x\r\n\r\nHello there\r\n", "before line 2"),
        (b"Subject: x\r\nHello\r\nFrom: a\r\n\r\n", b"Subject: x\r\nHello\r\nFrom: a\r\n\r\n", None),
        (b"Hello " + b"x" * 200_000 + b"\r\n\r\n", b"\r\nHello " + b"x" * 200_000 + b"\r\n\r\n", "before line 1"),
    ],
    ids=["text first", "a blank first", "text behind fields", "text amid fields", "large"],
)
def test_text_that_begins_without_a_blank_line_is_no_part_of_the_header(server, content, stored, told):
    assert server.connect().mail(content, "ann@example.org").startswith("250 ")
    [(operation, octets)] = server.store.delivered
    assert octets == stored and operation.size_octets == len(stored)
    assert operation.local[0].prefix.endswith(b"\r\n")
    assert json.loads(operation.story.data).get("blank_line") == told


LONG_TO = b"Subject: x\r\nTo: " + b",\r\n ".join([b"Recipient <r@lists.example.org>"] * 30_000) + b"\r\n\r\n"


def test_a_header_of_a_megabyte_is_taken_unless_too_much_is_held(server):
    assert 1_000_000 < len(LONG_TO) < spool_module.HEAD_OCTETS
    talk, budget = server.connect(), server.spool.budget
    assert talk.mail(LONG_TO, "ann@example.org").startswith("250 ")
    assert server.store.delivered[0][1] == LONG_TO
    budget.take(budget.limit * 4 // 5)
    assert talk.mail(LONG_TO, "ann@example.org").startswith("452 4.3.1 ")
    assert talk.mail(b"Subject: small\r\n\r\n" + b"x\r\n" * 100_000, "ann@example.org").startswith("250 ")
    budget.give(budget.limit * 4 // 5)
    assert talk.mail(LONG_TO, "ann@example.org").startswith("250 ")
    assert budget.held == 0


def test_message_cut_at_every_octet(server):
    talk = server.connect()
    content = b"S: x\r\n\r\n..a\r\n.\r\nNOOP\r\n"
    for cut in range(len(content)):
        talk.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
        assert [talk.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        talk.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk.send(content[:cut])
        talk.send(content[cut:])
        assert talk.reply().startswith("250 2.0.0 queued")
        assert talk.reply() == "250 2.0.0 OK"
    assert {octets for _, octets in server.store.delivered} == {b"S: x\r\n\r\n.a\r\n"}


def test_a_client_is_acknowledged_at_once_in_the_middle_of_a_command_or_message_alone(server, monkeypatch):
    """It may keep the rest, the final dot say, until then; to whole commands the answer says it."""
    acknowledged = queue.Queue()
    monkeypatch.setattr(server_module, "acknowledge_at_once", acknowledged.put)
    talk = server.connect()
    for command in ("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>"):
        talk.ask(command)
    assert acknowledged.empty()
    talk.send(b"NO")
    acknowledged.get(timeout=20)
    assert talk.ask(b"OP\r\n").startswith("250 ")
    assert talk.ask("DATA").startswith("354 ")
    acknowledged.get(timeout=20)
    talk.send(b"S: x\r\n\r\ntext\r\n")
    acknowledged.get(timeout=20)
    assert talk.ask(b".\r\n").startswith("250 ")
    assert acknowledged.empty()


def test_everything_at_once_is_answered_in_order(server):
    talk = server.connect(hello=None)
    talk.send(
        *("EHLO client.example", "MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>"),
        *("RCPT TO:<nobody@example.org>", "DATA", b"hi\r\n.\r\n", "MAIL FROM:<>", "QUIT"),
    )
    talk.sock.shutdown(socket.SHUT_WR)
    assert [talk.reply()[:3] for _ in range(9)] == "220 250 250 250 550 354 250 250 221".split()
    assert talk.closed()


def test_large_message_goes_through_the_disk_and_comes_whole(server):
    body = b"\r\n" + b"".join(b"%d %s\r\n" % (n, b"x" * (n % 900)) for n in range(4000))
    assert len(body) > server_module.CHUNK_OCTETS * 20
    talk = server.connect()
    assert talk.mail(body, "ann@example.org").startswith("250 ")
    assert server.store.delivered[0][1] == body


def test_too_large_message_is_read_to_its_end_and_refused(server):
    talk = server.connect()
    assert talk.mail(b"x" * 70 + b"\r\n" + b"y" * 2_000_000 + b"\r\n", "ann@example.org").startswith("552 5.3.4 ")
    assert spooled(server) == []
    assert talk.mail(b"\r\n", "ann@example.org").startswith("250 ")


def test_endless_message_is_cut_off(server):
    talk = server.connect()
    talk.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [talk.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    with pytest.raises(OSError):
        for _ in range(2000):
            talk.send(b"x" * 65536)
    assert spooled(server) == []


@pytest.mark.parametrize("after", range(6))
def test_disconnects_leave_nothing_behind(server, after):
    talk = server.connect(hello=None)
    lines = ["EHLO c.example", "MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA", b"x" * 200_000]
    talk.send(*lines[:after])
    talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    talk.close()
    other = server.connect()
    assert other.mail(b"\r\n", "ann@example.org").startswith("250 ")
    other.ask("QUIT")
    server.close()
    assert spooled(server) == []
    assert len(server.admission) == 0


def test_loops_stop(server):
    talk = server.connect()
    received = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    assert talk.mail(received * 51 + b"\r\n", "ann@example.org").startswith("554 5.4.6 ")
    assert talk.mail(received * 50 + b"\r\n", "ann@example.org").startswith("250 ")
    before = b"Delivered-To: Ann@EXAMPLE.org\r\n\r\n"
    assert talk.mail(before, "ann@example.org").startswith("554 5.4.6 ")
    assert talk.mail(before, "ann@example.org", "bob@example.org").startswith("250 ")
    operation = server.store.delivered[-1][0]
    assert [local.mailbox_id for local in operation.local] == [2]
    # Whoever does not get it is told of.
    [event] = operation.story.events
    assert (event.kind, event.address, event.reason) == ("dropped", "ann@example.org", "mail-loop")


def test_a_refused_message_is_told_of_each_recipient(server):
    talk = server.connect()
    before = b"Delivered-To: ann@example.org\r\nDelivered-To: bob@example.org\r\nSubject: again\r\n\r\n"
    named = ("ann@example.org", "bob@example.org", "ann@example.org")
    replies = [talk.mail(before, *named), talk.mail(b"Subject: again\r\n\r\nbare\nend\r\n", *named)]
    server.store.error = StoreUnavailable("away")
    replies.append(talk.mail(b"Subject: again\r\n\r\n", *named))
    for told, reply in zip(server.store.told, replies, strict=True):
        events = [(event.address, event.domain_id, event.text) for event in told.story.events]
        assert events == [(address, 1, reply) for address in named[:2]]
    # Of what has a bare LF, and of what the store may have taken, the spool has nothing.
    assert [told.story.subject for told in server.store.told] == ["again", "", ""]


def test_forwarding_rewrites_the_sender_and_bounces_find_back(server):
    bob = LocalTarget(2, 1, "bob@example.org", 0, "active")
    server.directory.remote["team@example.org"] = resolved("team@example.org", [bob], ["friend@else.example"])
    talk = server.connect()
    assert talk.mail(b"\r\n", "team@example.org").startswith("250 ")
    [(operation, _)] = server.store.delivered
    [outgoing] = operation.outgoing
    assert outgoing.envelope.reverse_path.startswith("SRS0=")
    assert outgoing.envelope.reverse_path.endswith("=other.example=x@example.org")
    assert outgoing.prefix.startswith(b"Delivered-To: team@example.org\r\nReceived: ")
    [event] = operation.story.events
    assert (event.kind, event.address, event.text) == (
        *("expanded", "team@example.org", "to bob@example.org, friend@else.example"),
    )
    assert talk.mail(b"\r\n", outgoing.envelope.reverse_path, sender="").startswith("250 ")
    [back] = server.store.delivered[-1][0].outgoing
    assert (back.envelope.reverse_path, back.recipients[0].recipient.forward_path) == ("", "x@other.example")
    # Come full circle
    assert talk.mail(outgoing.prefix + b"\r\n", "team@example.org").startswith("250 ")
    assert server.store.delivered[-1][0].outgoing == []


def test_the_report_reader_gets_a_report_once_beside_the_mailbox_of_that_name(server):
    target = ReportTarget("dmarc", 1, "dmarc-reports@example.org")
    ann = LocalTarget(1, 1, "ann@example.org", 0, "active")
    server.directory.remote["dmarc-reports@example.org"] = resolved("dmarc-reports@example.org", reports=[target])
    server.directory.remote["rua@example.org"] = resolved("rua@example.org", [ann], reports=[target])
    talk = server.connect()
    assert talk.mail(b"\r\n", "dmarc-reports@example.org", "rua@example.org").startswith("250 ")
    operation = server.store.delivered[-1][0]
    assert operation.reports == [ReportDelivery("dmarc", 1, "dmarc-reports@example.org")]
    assert [local.mailbox_id for local in operation.local] == [1]
    # That the mailbox has had it before is no reason not to read it.
    assert talk.mail(b"Delivered-To: ann@example.org\r\n\r\n", "rua@example.org").startswith("250 ")
    operation = server.store.delivered[-1][0]
    assert (len(operation.reports), operation.local) == (1, [])
    assert ("dropped", "ann@example.org") in [(event.kind, event.address) for event in operation.story.events]


def test_mail_too_large_for_a_report_is_refused_when_announced_and_when_it_came(server, monkeypatch):
    monkeypatch.setattr(decisions, "MAX_MAIL_OCTETS", 1000)
    target = ReportTarget("dmarc", 1, "dmarc-reports@example.org")
    server.directory.remote["dmarc-reports@example.org"] = resolved("dmarc-reports@example.org", reports=[target])
    talk = server.connect()
    assert talk.ask("MAIL FROM:<x@other.example> SIZE=1001").startswith("250 ")
    assert talk.ask("RCPT TO:<dmarc-reports@example.org>").startswith(
        "552 5.3.4 Reports may have 2 MB (report-too-big)"
    )
    assert talk.ask("RSET").startswith("250 ")
    assert talk.mail(b"x" * 1000 + b"\r\n", "dmarc-reports@example.org").startswith("552 5.3.4 Reports may have")
    assert server.store.delivered == []


def test_senders_without_room_for_rewriting_and_our_own_are_known(server):
    server.directory.remote["out@example.org"] = resolved("out@example.org", remote=["friend@else.example"])
    talk = server.connect()
    for sender, expected in (
        ("x" * 60 + "@other.example", "postmaster@example.org"),
        ("bob@example.org", "bob@example.org"),
        ("", ""),
    ):
        assert talk.mail(b"\r\n", "out@example.org", sender=sender).startswith("250 ")
        assert server.store.delivered[-1][0].outgoing[0].envelope.reverse_path == expected
    rewritten = srs.forward(Address("x", "other.example"), "example.org", [b"another secret"], datetime.now(UTC).date())
    talk.send("MAIL FROM:<>", f"RCPT TO:<{rewritten}>")
    talk.reply()
    assert talk.reply() == "550 5.1.1 This is no sender that was rewritten here (rewritten-sender-invalid)"


def test_starttls(server):
    talk = server.connect()
    talk.start_tls()
    assert talk.ask("MAIL FROM:<x@other.example>").startswith("503 5.5.1 ")
    assert talk.ask("EHLO again.example") == "250 HELP"
    assert talk.mail(b"\r\n", "ann@example.org").startswith("250 ")
    [(operation, _)] = server.store.delivered
    assert b"with ESMTPS id" in operation.local[0].prefix
    assert b"(using TLSv1.3 with cipher TLS_" in operation.local[0].prefix
    assert talk.ask("STARTTLS").startswith("503 5.5.1 ")


def test_commands_injected_before_tls_are_never_run(server):
    talk = server.connect()
    talk.send(b"STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@other.example>\r\nRCPT TO:<ann@example.org>\r\n")
    assert talk.reply().startswith("220 2.0.0 ")
    talk.wrap()
    assert talk.ask("RCPT TO:<ann@example.org>").startswith("503 5.5.1 Send EHLO")


@pytest.mark.parametrize(
    "octets", [b"EHLO client.example\r\n", b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"\0" * 300, b""]
)
def test_bad_tls_costs_only_its_own_connection(server, octets):
    talk = server.connect()
    assert talk.ask("STARTTLS").startswith("220 ")
    talk.send(octets)
    talk.sock.shutdown(socket.SHUT_WR)
    while not talk.closed():
        pass
    assert server.connect().ask("NOOP").startswith("250 ")


def test_what_comes_with_the_end_of_the_handshake_is_not_lost(server):
    """The client's Finished and its EHLO in one packet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(10):
        talk = server.connect()
        assert talk.ask("STARTTLS").startswith("220 ")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                talk.sock.sendall(outgoing.read())
                incoming.write(talk.sock.recv(65536))
        tls.write(b"EHLO client.example\r\n")
        talk.sock.sendall(outgoing.read())
        answer = b""
        while b"250 HELP\r\n" not in answer:
            incoming.write(talk.sock.recv(65536))
            try:
                answer += tls.read(65536)
            except ssl.SSLWantReadError:
                continue


def test_garbage_ends_with_an_error(server):
    chance = random.Random(5321)
    for _ in range(20):
        talk = server.connect(hello=None)
        talk.reply()
        try:
            talk.send(chance.randbytes(5000) + b"\r\n")
            while line := talk.line():
                assert line[:1] in "45"
        except ConnectionError:
            pass
    assert server.connect().ask("NOOP").startswith("250 ")


def test_shutdown_says_421_and_lets_what_is_under_way_finish(server):
    idle, busy = server.connect(), server.connect()
    server.store.hold = threading.Event()
    busy.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [busy.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    busy.send(b"hi\r\n.\r\n")
    assert server.store.asked.wait(10)
    closing = threading.Thread(target=server.close)
    closing.start()
    assert idle.reply().startswith("421 4.3.2 ")
    assert idle.closed()
    server.store.hold.set()
    assert busy.reply().startswith("250 2.0.0 ")
    assert busy.reply().startswith("421 4.3.2 ")
    closing.join(10)
    assert not closing.is_alive()


def test_shutdown_says_421_also_to_those_for_whom_it_does_not_wait(server, monkeypatch):
    monkeypatch.setattr(listener_module, "ENDING_SECONDS", 0.0)
    busy, server.store.hold = server.connect(), threading.Event()
    busy.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA")
    assert [busy.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    busy.send(b"hi\r\n.\r\n")
    assert server.store.asked.wait(10)
    closing = threading.Thread(target=server.close)
    closing.start()
    assert busy.reply().startswith("421 4.3.2 ")
    assert busy.closed()
    server.store.hold.set()
    closing.join(10)
    assert not closing.is_alive()


def test_silence_is_answered_by_421(make_server):
    talk = make_server(limits={"tick_seconds": 0.01, "command_seconds": 0.05}).connect(hello=None)
    assert talk.reply() == "220 mx.example.org ESMTP"
    assert talk.reply() == "421 4.4.2 Waited too long for you, goodbye"
    assert talk.closed()


def test_a_command_that_comes_in_pieces_has_no_more_time(make_server):
    talk = make_server(limits={"tick_seconds": 0.01, "command_seconds": 0.2}).connect(hello=None)
    talk.reply()
    talk.sock.settimeout(0.01)
    answer = b""
    for _ in range(1000):
        talk.send(b"x")
        with contextlib.suppress(TimeoutError):
            answer = talk.sock.recv(100)
        if answer:
            break
    assert answer.startswith(b"421 4.4.2 ")


@pytest.mark.parametrize("limit", ["chunk_seconds", "content_seconds"])
def test_silence_inside_data_is_answered_by_421(make_server, limit):
    server = make_server(limits={"tick_seconds": 0.01, limit: 0.05})
    talk = server.connect()
    talk.send("MAIL FROM:<x@other.example>", "RCPT TO:<ann@example.org>", "DATA", b"some")
    assert [talk.reply()[:3] for _ in range(4)] == ["250", "250", "354", "421"]
    assert talk.closed()
    assert spooled(server) == []


def test_a_client_that_reads_nothing_is_dropped(make_server):
    limits = {"idle_commands": 10**9, "linger_seconds": 0.1, "tick_seconds": 0.05, "command_seconds": 0.5}
    server = make_server(limits=limits)
    talk = server.connect()
    talk.sock.settimeout(5)
    with pytest.raises((TimeoutError, ConnectionError)):
        for _ in range(10_000):
            talk.send(b"HELP\r\n" * 10_000)
    server.close()
    assert len(server.admission) == 0


def test_handshakes_are_counted_before_they_cost(make_server):
    """And one that does not come gives way to the next client, without a word."""
    server = make_server(total=2)
    silent = [server.connect("SUBMISSIONS", hello=None, wrap=False) for _ in range(5)]
    assert all(one.closed() for one in silent[:3])
    assert len(server.submission_admission) == 2
    assert server.connect("SUBMISSIONS").ask("NOOP").startswith("250 ")
    silent[4].send(b"no handshake\r\n")
    while not silent[4].closed():
        pass
    assert server.store.reasons == []
