import pytest
from resolutions import resolved

from mailsuite.directory.resolution import Kind, LocalTarget, Part, ReportTarget, Resolution
from mailsuite.mailauth.report_file import MAX_MAIL_OCTETS
from mailsuite.pipeline import decisions
from mailsuite.pipeline.decisions import Refusal
from mailsuite.protocol.content import ContentReader

ROOM = LocalTarget(1, 1, "ann@example.org", 1000, "active")
NO_QUOTA = LocalTarget(2, 1, "bob@example.org", 0, "active")


@pytest.mark.parametrize(
    ("kind", "may_relay", "expected"),
    [
        (Kind.UNKNOWN, False, decisions.UNKNOWN_RECIPIENT),
        (Kind.UNKNOWN, True, decisions.UNKNOWN_RECIPIENT),
        (Kind.DISABLED, False, decisions.RECIPIENT_DISABLED),
        (Kind.UNHOSTED, False, decisions.RELAYING),
        (Kind.UNHOSTED, True, None),
        (Kind.RESOLVED, False, decisions.UNKNOWN_RECIPIENT),
    ],
)
def test_recipient(kind, may_relay, expected):
    assert decisions.recipient(Resolution(kind), may_relay=may_relay) is expected


def test_recipient_that_leads_somewhere():
    assert decisions.recipient(resolved("x@example.org", [ROOM]), may_relay=False) is None
    assert decisions.recipient(resolved("x@example.org", remote=["x@else.example"]), may_relay=False) is None
    nobody = Resolution(Kind.RESOLVED, (Part("x", "x@example.org", 1),), 1)
    assert decisions.recipient(nobody, may_relay=False) is decisions.UNKNOWN_RECIPIENT


@pytest.mark.parametrize("refusal", [decisions.REWRITTEN_SENDER_INVALID, decisions.REWRITTEN_SENDER_EXPIRED])
def test_a_rewritten_sender_is_refused_in_its_own_words(refusal):
    assert decisions.recipient(Resolution(Kind.UNKNOWN, reason=refusal.reason), may_relay=False) is refusal


@pytest.mark.parametrize(
    ("targets", "remote", "used", "size", "full"),
    [
        ((ROOM,), (), 0, 1000, False),
        ((ROOM,), (), 0, 1001, True),
        ((ROOM,), (), 999, 0, False),
        ((ROOM,), (), 1000, 0, True),
        ((ROOM, NO_QUOTA), (), 1000, 0, False),
        ((ROOM,), ("x@else.example",), 1000, 0, False),
        ((NO_QUOTA,), (), 10**12, 10**9, False),
        ((), ("x@else.example",), 0, 0, False),
    ],
)
def test_quota(targets, remote, used, size, full):
    [part] = resolved("x@example.org", targets, remote).parts
    assert decisions.quota(part, {1: used}, size) is (decisions.MAILBOX_FULL if full else None)


def test_the_report_reader_takes_what_a_full_mailbox_of_that_name_would_not():
    reader = (ReportTarget("dmarc", 1, "dmarc-reports@example.org"),)
    found = resolved("dmarc-reports@example.org", [ROOM], reports=reader)
    assert decisions.recipient(found, may_relay=False) is None
    assert decisions.quota(found.parts[0], {1: 1000}, 10) is None


@pytest.mark.parametrize(
    ("targets", "remote", "size", "refusal"),
    [
        ((), (), MAX_MAIL_OCTETS, None),
        ((), (), MAX_MAIL_OCTETS + 1, decisions.REPORT_TOO_BIG),
        ((NO_QUOTA,), (), MAX_MAIL_OCTETS + 1, None),
        ((), ("x@else.example",), MAX_MAIL_OCTETS + 1, None),
    ],
)
def test_the_report_reader_takes_no_mail_of_a_size_that_no_report_has(targets, remote, size, refusal):
    reader = (ReportTarget("dmarc", 1, "dmarc-reports@example.org"),)
    [part] = resolved("dmarc-reports@example.org", targets, remote, reader).parts
    assert decisions.quota(part, {}, size) is refusal


def test_a_bounce_goes_to_few():
    assert decisions.another_recipient(null_sender=True, accepted=19) is None
    assert decisions.another_recipient(null_sender=True, accepted=20) is decisions.NULL_SENDER_RECIPIENTS
    assert decisions.another_recipient(null_sender=False, accepted=999) is None


def test_disk():
    assert decisions.disk(100, size_octets=50, reserve_octets=50) is None
    assert decisions.disk(100, size_octets=51, reserve_octets=50) is decisions.STORAGE_FULL


@pytest.mark.parametrize(
    ("octets", "normalize", "expected"),
    [
        (b"fine\r\n", False, None),
        (b"x" * 21 + b"\r\n", False, decisions.TOO_BIG),
        (b"bare\n\r\n", False, decisions.BARE_LINE_ENDING),
        (b"bare\n\r\n", True, None),
        (b"nul\0\r\n", False, decisions.NUL_OCTET),
        (b"nul\0\r\n", True, decisions.NUL_OCTET),
    ],
)
def test_content(octets, normalize, expected):
    reader = ContentReader(normalize=normalize)
    reader.feed(octets + b".\r\n")
    assert decisions.content(reader, size_limit=20) is expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"a: b\r\n" * 5000, None),
        (b"a: b\r\n" * 5001, decisions.HEADER_TOO_BIG),
        (b"a: b\r\n" + b" c\r\n" * 6000, None),
        (b"no field\r\n" * 4000, None),
        (b"a: " + b"b" * 49_996, None),
        (b"a: " + b"b" * 49_997, decisions.HEADER_TOO_BIG),
    ],
)
def test_header(block, expected):
    assert decisions.header(block, limit_octets=50_000) is expected


def test_each_reason_is_in_its_reply():
    refusals = [value for value in vars(decisions).values() if isinstance(value, Refusal)]
    assert len(refusals) > 15
    for refusal in refusals:
        assert str(refusal.reply).endswith(f" ({refusal.reason})")
        assert len(refusal.reason) <= 40
        assert refusal.reply.enhanced_code is not None
