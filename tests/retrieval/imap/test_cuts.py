"""A client's octets come in any pieces: every command, good and bad, is answered the same however they are cut."""

import random

import pytest

from mailsuite.store.flags import DELETED, SEEN

MIME = (
    b"From: Eve <eve@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\n\r\ntext\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n"
)
PLAIN = b"From: Bob <bob@example.org>\r\nSubject: Lunch\r\n\r\nAt noon?\r\n"
# As much as fits into one session: a login in two steps, each verb, what is refused, what is wrong, literals of both
# kinds that belong to the line, that are streamed, dropped, wrapped, too large. 42 stands within a refused message.
DIALOG = [
    b"1 CAPABILITY\r\n2 NOOP\r\n3 LOGIN {3}\r\n",
    b"ann {5+}\r\nwrong\r\n4 STATUS INBOX (MESSAGES)\r\n5 AUTHENTICATE PLAIN\r\n",
    b"*\r\n6 AUTHENTICATE LOGIN YW5uQGV4YW1wbGUub3Jn\r\n",
    b"c2VjcmV0\r\n7 LOGIN a b\r\n",
    b'8 ID ("name" {4+}\r\nme\r\n "version" NIL)\r\n9 ENABLE CONDSTORE\r\n',
    b'10 NAMESPACE\r\n11 LIST "" %\r\n12 LSUB "" *\r\n',
    b"13 CREATE {3+}\r\nA/B\r\n14 CREATE S (USE (\\Sent))\r\n15 RENAME A C\r\n",
    b"16 SUBSCRIBE C/B\r\n17 UNSUBSCRIBE x\r\n",
    b"18 DELETE C/B\r\n19 STATUS INBOX (MESSAGES UNSEEN UIDNEXT APPENDLIMIT)\r\n",
    b"20 STATUS INBOX (X)\r\n21 FETCH 1 ALL\r\n",
    b"22 SELECT {5+}\r\ninbox\r\n23 FETCH 1:* (UID FLAGS BODY.PEEK[])\r\n",
    b"24 UID FETCH 1 BODY[2.MIME]<1.20>\r\n25 FETCH 9 ALL\r\n",
    b"26 SEARCH HEADER Subject {3+}\r\nunc\r\n27 UID SEARCH TEXT noon\r\n",
    b"28 SEARCH CHARSET X ALL\r\n29 SEARCH OR SEEN\r\n",
    b"30 STORE 1 +FLAGS.SILENT ($One \\Flagged)\r\n31 UID STORE 1:2 FLAGS \\Seen Two\r\n32 STORE 1 FLAGS (\\Bad)\r\n",
    b"33 COPY 1 Drafts\r\n34 UID COPY 2 {7+}\r\nNowhere\r\n35 MOVE 1 Trash\r\n36 UID MOVE 99 Trash\r\n37 CHECK\r\n",
    b"38 APPEND INBOX (\\Seen) {%d+}\r\n%b\r\n" % (len(PLAIN), PLAIN),
    b"39 APPEND {6+}\r\nDrafts {5}\r\n",
    b"hello)\r\n40 APPEND Nowhere {5+}\r\nhello\r\n41 APPEND INBOX {1800+}\r\n" + b"42 NOOP\r\n" * 200 + b"\r\n",
    b"43 ENABLE UTF8=ACCEPT\r\n44 APPEND INBOX {13+}\r\nUTF8 (Su: x\r\n)\r\n45 APPEND INBOX UTF8 (~{4+}\r\ntext)\r\n",
    b"46 IDLE\r\n",
    b"DONE\r\n47 IDLE\r\nno\r\n48 EXPUNGE\r\n49 UID EXPUNGE 1:9\r\n",
    b"50 CLOSE\r\n51 EXAMINE Drafts\r\n52 STORE 1 FLAGS ()\r\n",
    b"53 UNSELECT\r\n54 UID\r\n55 XYZ {3+}\r\nabc\r\n56 NO\0OP\r\n",
    b"57 NOOP x\r\n\r\n58 STARTTLS\r\n{2+}\r\nxx\r\n59 NOOP  \n",
    b"60 LIST {70000}\r\n61 LOGOUT\r\n62 NOOP\r\n",
]


@pytest.fixture
def played(connect, mailbox, directory):
    """`played(pieces)` is what a fresh session says to them, with what is filed then."""

    def played(pieces):
        mailbox.__init__()
        mailbox.deliver(PLAIN)
        mailbox.deliver(MIME, flags=SEEN, keywords="Old")
        mailbox.deliver(PLAIN, flags=DELETED)
        client = connect(message_octets=1000, dropped_octets=5000)
        for piece in pieces:
            client.send(piece)
        assert client.session.closed and not mailbox.spools
        return client.take(), [
            (folder.name, [(each.flags, each.keywords, each.octets) for each in folder.messages.values()])
            for folder in mailbox.folders.values()
        ]

    return played


def cut(octets: bytes, size: int) -> list[bytes]:
    return [octets[start : start + size] for start in range(0, len(octets), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 61, 1000, 100_000])
def test_any_pieces_are_answered_alike(played, size):
    wanted = played(DIALOG)
    said = wanted[0]
    for number in range(1, 62):
        assert said.count(b"\r\n%d " % number) == (number != 42), number
    assert said.endswith(b"\r\n* BYE Logging out\r\n61 OK LOGOUT completed\r\n") and b"SERVERBUG" not in said
    assert played(cut(b"".join(DIALOG), size)) == wanted


def test_random_pieces_are_answered_alike(played):
    wanted, octets, draw = played(DIALOG), b"".join(DIALOG), random.Random(9051)
    for _ in range(10):
        ends = sorted(draw.sample(range(1, len(octets)), 60))
        assert (
            played([octets[start:end] for start, end in zip([0, *ends], [*ends, len(octets)], strict=True)]) == wanted
        )
