"""What a Content row keeps of a message is bounded, whatever the message is like."""

from mailsuite.store.reading import HEADER_IN_ROW_OCTETS, summarize

PART = b"--b\r\nContent-Type: text/plain; name=%b\r\n\r\nx\r\n"


def of_parts(count, name):
    head = b"Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return head + PART % name * count + b"--b--\r\n"


def test_a_structure_that_no_honest_mail_has_is_not_kept():
    """Sessions hold those of a slice of messages at once: strangers must not make that gigabytes."""
    honest, hostile = summarize(of_parts(900, b"holiday.jpeg")), summarize(of_parts(900, b"x" * 400))
    assert honest.body_structure.count(b'"holiday.jpeg"') == 900
    assert hostile.body_structure.startswith(b'("text" "plain"') and len(hostile.body_structure) < 200
    assert hostile.subject == "parts"


def test_a_header_too_large_for_the_row_stays_with_the_message():
    large = summarize(b"X-Large: " + b"x" * HEADER_IN_ROW_OCTETS + b"\r\nSubject: large\r\n\r\n")
    assert (large.header, large.subject) == (None, "large")
