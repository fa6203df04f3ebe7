"""Measures signatures a second, ours beside opendkim's, in turn, and prints a table. Not a test: nothing fails.

    python3 manage.py bench signing [--rounds 3]

Both sign the same mail with the same key (RSA-2048, relaxed/relaxed). opendkim runs as the milter that it is, over a
Unix socket; what counts is its own processor time, from /proc, so that neither the start of a process nor the driver of
the milter is held against it. Ours is the processor time of what submission does to sign: hash the body, split and hash
the header, sign, fold. opendkim's time holds its side of the milter protocol too, which is how it is used; ours has
none.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from oracles import TestKey, opendkim_signer, opendkim_verifies, zone_of

from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.dkim import RelaxedBodyHash
from mailsuite.mailauth.dkim.sign import signature_fields

OPENDKIM = "/usr/sbin/opendkim"
MESSAGES = 400
LINE = b"Some words of a letter that is neither short nor long, like most of them.\r\n"
HEADER = (
    b"From: Ann <ann@example.org>\r\nTo: Bob <bob@other.example>\r\nSubject: a letter\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
)
OVERSIGNED = "From,To,Cc,Reply-To,Subject,Date,Message-ID,Content-Type,MIME-Version,Sender"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    key = TestKey("example.org", "r1", generate_private_key(65537, 2048))
    print(f"{'signatures for each second of one core':44}{'ours':>12}{'opendkim':>12}{'ours better by':>17}")
    for octets, text in ((4_000, "4 KB"), (100_000, "100 KB")):
        body = LINE * (octets // len(LINE))
        pairs = [(_ours(key, body), _theirs(key, body)) for _ in range(options.rounds)]
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"{text:44}{ours:12.0f}{theirs:12.0f}{statistics.median(a / b for a, b in pairs):16.2f}x")


def _ours(key: TestKey, body: bytes) -> float:
    signing_key = key.signing_key
    start = time.process_time()
    for number in range(MESSAGES):
        hashed = RelaxedBodyHash()
        hashed.update(body)
        fields = signature_fields(Header.parse(HEADER), hashed.digest(), [signing_key], 1_700_000_000 + number)
    spent = time.process_time() - start
    _expect_valid(key, fields + HEADER + body)
    return MESSAGES / spent


def _theirs(key: TestKey, body: bytes) -> float:
    signed = (f"SignHeaders {OVERSIGNED}", f"OversignHeaders {OVERSIGNED}")
    settings = ("Canonicalization relaxed/relaxed", *signed)
    with opendkim_signer(OPENDKIM, key, *settings) as signer:
        pid = signer.server_pid
        start = _processor_seconds(pid)
        for _ in range(MESSAGES):
            fields = signer.fields_added(HEADER + body)
        spent = _processor_seconds(pid) - start
    _expect_valid(key, fields + HEADER + body)
    return MESSAGES / spent


def _processor_seconds(pid: int) -> float:
    """What all threads of the process have used, in user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _expect_valid(key: TestKey, message: bytes) -> None:
    """Nobody is measured who did not do the work."""
    if not opendkim_verifies(OPENDKIM, message, zone_of(key)):
        raise SystemExit(f"this signature is no good:\n{message[:2000].decode()}")


if __name__ == "__main__":
    main()
