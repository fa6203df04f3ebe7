from datetime import date, timedelta

import pytest

from mailsuite.mail.address import Address, parse_address
from mailsuite.mail.srs import SrsError, SrsTooLong, forward, is_srs, reverse

TODAY = date(2025, 11, 24)
ANN = parse_address("Ann@example.org")
SECRETS = [b"new", b"old"]


def test_forwarded_sender_comes_back():
    rewritten = forward(ANN, "ours.example", SECRETS, TODAY)
    assert rewritten.domain == "ours.example"
    assert rewritten.local_part.startswith("SRS0=")
    assert rewritten.local_part.endswith("=example.org=Ann")
    assert reverse(rewritten, SECRETS, TODAY) == ANN


@pytest.mark.parametrize(
    "sender", ["a=b@example.org", "a+b-c@example.org", '"a b"@example.org', "jörg@example.org", "srs@example.org"]
)
def test_odd_senders_come_back(sender):
    address = parse_address(sender)
    assert reverse(forward(address, "ours.example", SECRETS, TODAY), SECRETS, TODAY) == address


def test_case_is_lost_without_harm():
    rewritten = forward(ANN, "ours.example", SECRETS, TODAY)
    for changed in (rewritten.local_part.lower(), rewritten.local_part.upper()):
        assert reverse(Address(changed, "ours.example"), SECRETS, TODAY).key == ANN.key


def test_older_secret_still_opens():
    rewritten = forward(ANN, "ours.example", [b"old"], TODAY)
    assert reverse(rewritten, SECRETS, TODAY) == ANN
    with pytest.raises(SrsError):
        reverse(rewritten, [b"new"], TODAY)


@pytest.mark.parametrize("days", [-1, 0, 1, 21])
def test_life(days):
    rewritten = forward(ANN, "ours.example", SECRETS, TODAY)
    assert reverse(rewritten, SECRETS, TODAY + timedelta(days)) == ANN


@pytest.mark.parametrize("days", [-2, 22, 500, 1022])
def test_after_life(days):
    rewritten = forward(ANN, "ours.example", SECRETS, TODAY)
    with pytest.raises(SrsError):
        reverse(rewritten, SECRETS, TODAY + timedelta(days))


def test_day_wraps():
    for offset in range(1024):
        day = TODAY + timedelta(offset)
        assert reverse(forward(ANN, "ours.example", SECRETS, day), SECRETS, day + timedelta(21)) == ANN


def test_every_changed_octet_is_seen():
    local_part = forward(ANN, "ours.example", SECRETS, TODAY).local_part
    for at in range(len(local_part)):
        changed = local_part[:at] + ("y" if local_part[at] in "zZ" else "z") + local_part[at + 1 :]
        with pytest.raises(SrsError):
            reverse(Address(changed, "ours.example"), SECRETS, TODAY)


def test_cut_anywhere_is_refused():
    local_part = forward(ANN, "ours.example", SECRETS, TODAY).local_part
    for end in range(len(local_part)):
        with pytest.raises(SrsError):
            reverse(Address(local_part[:end], "ours.example"), SECRETS, TODAY)


def test_chain_of_forwarders_goes_back_to_the_first():
    first = forward(ANN, "first.example", [b"1"], TODAY)
    second = forward(first, "second.example", [b"2"], TODAY)
    third = forward(second, "third.example", [b"3"], TODAY)
    assert second.local_part.startswith("SRS1=")
    assert second.local_part.partition("=first.example==")[2] == first.local_part[5:]
    assert third.local_part.partition("=first.example==")[2] == first.local_part[5:]
    assert reverse(third, [b"3"], TODAY) == first
    assert reverse(second, [b"2"], TODAY) == first
    assert reverse(first, [b"1"], TODAY) == ANN


def test_other_separators_are_kept():
    foreign = Address("SRS0+abcd=XY=example.org=ann", "first.example")
    rewritten = forward(foreign, "ours.example", SECRETS, TODAY)
    assert reverse(rewritten, SECRETS, TODAY) == foreign


def test_malformed_srs1_is_an_ordinary_sender():
    foreign = Address("SRS1=nonsense", "first.example")
    assert reverse(forward(foreign, "ours.example", SECRETS, TODAY), SECRETS, TODAY) == foreign


def test_too_long():
    with pytest.raises(SrsTooLong):
        forward(Address("a" * 50, "example.org"), "ours.example", SECRETS, TODAY)


@pytest.mark.parametrize(
    "local_part", ["ann", "SRS0", "SRS0=", "SRS0=a", "SRS1=a=b", "SRS1=a=b==", "SRS1=a==c", "SRSX=a"]
)
def test_what_is_not_ours(local_part):
    with pytest.raises(SrsError):
        reverse(Address(local_part, "ours.example"), SECRETS, TODAY)


def test_shape():
    assert is_srs("srs0=x")
    assert not is_srs("srs0")
    assert not is_srs("srsly=x")
