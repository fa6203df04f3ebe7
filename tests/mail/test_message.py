from mailsuite.mail.message import parse_message

PLAIN = b"From: Ann <ann@example.org>\r\nSubject: hello\r\n\r\nfirst\r\nsecond\r\n"


def test_plain_message_is_described():
    message = parse_message(PLAIN)
    assert message.header_octets == PLAIN.index(b"first")
    assert message.body == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 15 2)'
    assert message.subject == "hello"
    assert message.from_address == "ann@example.org"
    assert not message.truncated
