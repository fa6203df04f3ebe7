import re

import pytest

from mailsuite.mail import reply
from mailsuite.mail.reply import Reply

NAMED = {name: value for name, value in vars(reply).items() if isinstance(value, Reply)}


def test_reply_reads_as_its_line():
    assert str(Reply(550, "1.1", "No such mailbox here")) == "550 5.1.1 No such mailbox here"
    assert str(Reply(354, None, "Go on")) == "354 Go on"


@pytest.mark.parametrize("name", NAMED)
def test_named_reply_is_sound(name):
    given = NAMED[name]
    assert given.text == reply.printable(given.text)
    assert len(str(given)) + 2 <= 512  # RFC 5321 §4.5.3.1.5
    if given.code // 100 == 3:
        assert given.detail is None  # RFC 2034 §4 knows classes 2, 4 and 5 only
    else:
        assert re.fullmatch(r"[0-7]\.\d{1,3}", given.detail or "")


def test_classes():
    assert reply.OK.is_positive
    assert reply.LOCAL_ERROR.is_transient
    assert reply.NO_SUCH_MAILBOX.is_permanent
    assert reply.NO_SUCH_MAILBOX.enhanced_code == "5.1.1"


def test_text_of_strangers_stays_one_ascii_line():
    assert reply.SYNTAX_ERROR.with_text("no\r\n250 ok ü").text == "no 250 ok ?"
