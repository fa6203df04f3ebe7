"""Clients that keep count for themselves: whatever several sessions do to one folder, each client's own idea of which
message has which number, built from EXISTS and EXPUNGE alone, is the server's."""

import random
import re

import pytest

MESSAGE = b"Subject: x\r\n\r\ntext\r\n"
QUIET = {"FETCH", "STORE", "SEARCH", "COPY"}  # commands that may not renumber (RFC 3501 §7.4.1)


class Counting:
    """What a client knows: for each sequence number the uid, None until it is told."""

    def __init__(self, client) -> None:
        self.client, self.uids = client, []
        self.opening = True
        self.command("SELECT INBOX")
        self.opening = False

    def command(self, text: str) -> None:
        self.client.send(f"t {text}\r\n".encode())
        verb = text.split()[0]
        self.hear(quiet=verb in QUIET)

    def hear(self, *, quiet: bool = False) -> None:
        for line in self.client.take().decode().split("\r\n"):
            if match := re.fullmatch(r"\* (\d+) (EXISTS|EXPUNGE)", line):
                number = int(match[1])
                if match[2] == "EXISTS":
                    assert number >= len(self.uids), "EXISTS can't take messages away"
                    self.uids += [None] * (number - len(self.uids))
                else:
                    assert not quiet and not self.opening, f"{line} amid a command that may not renumber"
                    del self.uids[number - 1]
            elif match := re.match(r"\* (\d+) FETCH \(UID (\d+)", line):
                number, uid = int(match[1]), int(match[2])
                assert self.uids[number - 1] in (None, uid), f"{line}, but it was {self.uids[number - 1]}"
                self.uids[number - 1] = uid
            assert not line.startswith(("t BAD", "t NO [SERVERBUG]")), line


@pytest.mark.parametrize("seed", range(12))
def test_every_client_counts_as_the_server_does(connect, mailbox, seed):
    draw = random.Random(seed)
    for _ in range(8):
        mailbox.deliver(MESSAGE)
    clients = [Counting(connect().log_in()) for _ in range(3)]
    for _ in range(250):
        one = draw.choice(clients)
        first = draw.randint(1, 40)
        number = draw.randint(1, max(1, len(one.uids)))
        texts = [
            "NOOP",
            "CHECK",
            f"UID FETCH {first}:* (FLAGS)",
            f"UID STORE {first} +FLAGS (\\Deleted)",
            f"UID STORE {first}:{first + 2} -FLAGS.SILENT (\\Deleted \\Seen)",
            f"UID MOVE {first} Trash",
            f"UID EXPUNGE {first}",
            "EXPUNGE",
            "SEARCH ALL",
            "UID SEARCH DELETED",
        ]
        if one.uids:
            texts += [f"FETCH {number} (UID FLAGS)", f"FETCH 1:{number} (UID RFC822.SIZE)", f"COPY {number} INBOX"]
            texts += [f"STORE {number} +FLAGS (\\Deleted)", f"STORE 1:{number} -FLAGS.SILENT (\\Deleted)"]
        if draw.random() < 0.2:
            mailbox.deliver(MESSAGE)
        elif draw.random() < 0.1:
            one.client.send(b"i IDLE\r\n")
            mailbox.deliver(MESSAGE)
            one.client.notify()
            one.client.send(b"DONE\r\n")
            one.hear()
        else:
            one.command(draw.choice(texts))
        if draw.random() < 0.5:
            draw.choice(clients).client.notify()
    for one in clients:
        one.command("NOOP")
        one.command("FETCH 1:* (UID)" if one.uids else "NOOP")
        assert one.uids == sorted(mailbox.folders["INBOX"].messages)
