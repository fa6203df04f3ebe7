"""Measures Mailsuite beside Postfix and Dovecot, in turn, and prints a table of ratios. Not a test: nothing fails.

    python3 manage.py bench [--rounds 3] [--only filed,envelopes]

Needs root, postfix, dovecot-imapd and dovecot-lmtpd. Everything stays on loopback and under one temporary folder.
Figures are medians over the rounds; a round measures one side, then the other, so that a slow moment hits both.
"""

import argparse
import imaplib
import os
import shutil
import statistics
import time
from collections.abc import Callable

from clients import ImapClient, send_many, send_one, trusting
from folders import bench_folder, side_folder
from ours import Ours, proportional_memory
from peer import DOMAIN, PASSWORD, Peer

FILED_MESSAGES = 2000
BIG_FOLDER = 10_000
MESSAGE = (
    "From: Someone Somewhere <someone@remote.test>\r\nTo: u1@example.test, Other Person <other@example.test>\r\n"
    "Subject: message number {n} of the long folder\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    "Message-ID: <{n}.bench@remote.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    "A short body.\r\n"
)
Side = Ours | Peer


def filed(side: Side) -> float:
    """Messages a second accepted and filed: 4 KB, 20 sessions, a connection each, over 100 mailboxes."""
    return _filed(side, sessions=20, messages=FILED_MESSAGES, octets=4096)


def megabytes_1(side: Side) -> float:
    return _filed(side, sessions=4, messages=40, octets=1 << 20)


def megabytes_25(side: Side) -> float:
    return 25 * _filed(side, sessions=2, messages=6, octets=25 << 20)


def select(side: Side) -> float:
    """Seconds for SELECT of the long folder, best of five in one session."""
    client = ImapClient(side.ports["imaps"], f"u1@{DOMAIN}", PASSWORD)
    seconds = []
    for _ in range(5):
        seconds.append(_timed(lambda: client.command("SELECT Long")))
        client.command("UNSELECT")
    client.close()
    return statistics.median(seconds)


def envelopes(side: Side) -> float:
    """Seconds for FETCH of all envelopes and flags of the long folder."""
    return _fetch(side, "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)", b"ENVELOPE")


def flags(side: Side) -> float:
    """Seconds for the line with which Thunderbird opens a folder."""
    return _fetch(side, "UID FETCH 1:* (FLAGS)", b"FLAGS (")


def idle(side: Side) -> float:
    """Seconds from the 250 to the EXISTS in another session's IDLE, median of thirty."""
    client = ImapClient(side.ports["imaps"], f"u2@{DOMAIN}", PASSWORD)
    client.command("SELECT INBOX")
    client.start_idle()
    seconds = []
    for number in range(30):
        sent = send_one(side.ports["smtp"], f"u2@{DOMAIN}", MESSAGE.format(n=number))
        seconds.append(max(0.0, client.wait_for(b" EXISTS") - sent))
    client.end_idle()
    client.close()
    return statistics.median(seconds)


def append(side: Side) -> float:
    """Seconds for an APPEND of 2 KB by Python's imaplib, which sends the last CRLF apart; median of thirty."""
    client = imaplib.IMAP4_SSL("127.0.0.1", side.ports["imaps"], ssl_context=trusting())
    client.login(f"u3@{DOMAIN}", PASSWORD)
    message = MESSAGE.format(n=0).encode() + b"x" * 70 * 24
    seconds = [_timed(lambda: client.append("INBOX", "", "", message)) for _ in range(30)]
    client.logout()
    return statistics.median(seconds)


# name, measure, unit, whether more is better
MEASURES: dict[str, tuple[Callable[[Side], float], str, float, bool]] = {
    "filed": (filed, "messages/s, 4 KB", 1, True),
    "1mb": (megabytes_1, "MB/s, 1 MB messages", 1, True),
    "25mb": (megabytes_25, "MB/s, 25 MB messages", 1, True),
    "select": (select, f"ms, SELECT of {BIG_FOLDER}", 1000, False),
    "flags": (flags, f"ms, FLAGS of {BIG_FOLDER}", 1000, False),
    "envelopes": (envelopes, f"ms, envelopes and flags of {BIG_FOLDER}", 1000, False),
    "append": (append, "ms, APPEND by imaplib", 1000, False),
    "idle": (idle, "ms, IDLE latency", 1000, False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join([*MEASURES, "memory"]))
    options = parser.parse_args()
    wanted = options.only.split(",")
    folder = bench_folder()
    mine, theirs = side_folder(folder), side_folder(folder)
    ours = Ours(mine / "ours", aliases=FILED_MESSAGES + 10)
    peer = Peer(theirs / "peer", mine / "ours/tls/cert.pem", mine / "ours/tls/key.pem")
    try:
        ours.start()
        peer.start()
        print(f"idle memory without sessions: {proportional_memory(ours.pids()):.0f} MB", flush=True)
        if {"select", "flags", "envelopes"} & set(wanted):
            for side in (ours, peer):
                seconds = _timed(lambda side=side: _fill(side))
                print(f"{side.name}: {BIG_FOLDER} APPENDs in {seconds:.1f} s", flush=True)
        _compare(ours, peer, [name for name in MEASURES if name in wanted], options.rounds)
        if "memory" in wanted:
            _memory(ours)
    finally:
        peer.stop()
        ours.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _compare(ours: Ours, peer: Peer, names: list[str], rounds: int) -> None:
    print(f"{'':44}{ours.name:>12}{peer.name:>20}{'ours better by':>17}")
    for name in names:
        measure, unit, factor, more = MEASURES[name]
        pairs = [(_settled(measure, ours), _settled(measure, peer)) for _ in range(rounds)]
        mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(a / b if more else b / max(a, 1e-9) for a, b in pairs)
        print(f"{unit:44}{mine * factor:12.1f}{theirs * factor:20.1f}{ratio:16.2f}x", flush=True)


def _settled(measure: Callable[..., float], side: Ours | Peer) -> float:
    """What the other side has left to write and to discard is no burden of this one's."""
    os.sync()
    return measure(side)


def _memory(ours: Ours) -> None:
    clients = [ImapClient(ours.ports["imaps"], f"u{number % 10}@{DOMAIN}", PASSWORD) for number in range(20)]
    for client in clients:
        client.command("SELECT INBOX")
        client.start_idle()
    print(f"memory with 20 idle IMAP sessions over TLS: {proportional_memory(ours.pids()):.0f} MB", flush=True)
    for client in clients:
        client.close()


def _filed(side: Side, *, sessions: int, messages: int, octets: int) -> float:
    before = side.delivered() if isinstance(side, Peer) else 0
    start = time.perf_counter()
    send_many(side.ports["smtp"], sessions=sessions, messages=messages, octets=octets, recipient=f"u@{DOMAIN}")
    # Our 250 says that it is filed; the peer files what it accepted in its own time.
    while isinstance(side, Peer) and side.delivered() < before + messages:
        time.sleep(0.01)
    return messages / (time.perf_counter() - start)


def _fill(side: Side) -> None:
    client = ImapClient(side.ports["imaps"], f"u1@{DOMAIN}", PASSWORD)
    client.command("CREATE Long")
    client.append_many("Long", [MESSAGE.format(n=number).encode() for number in range(BIG_FOLDER)])
    client.close()


def _fetch(side: Side, line: str, mark: bytes) -> float:
    client = ImapClient(side.ports["imaps"], f"u1@{DOMAIN}", PASSWORD)
    client.command("SELECT Long")
    answers: list[bytes] = []
    seconds = _timed(lambda: answers.append(client.command(line)))
    client.close()
    assert answers[0].count(mark) >= BIG_FOLDER, "the answer is not whole"
    return seconds


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
