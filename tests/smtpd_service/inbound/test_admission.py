import pytest

from smtpd_service.inbound.admission import Admission
from smtpd_service.inbound.decisions import TOO_MANY_CONNECTIONS, TOO_MANY_FROM_ADDRESS
from smtpd_service.inbound.reception import network_of


class Nobody:
    def end(self) -> None:
        pass


def test_total_counts_everybody():
    admission = Admission(total=2, per_address=9)
    first = Nobody()
    assert admission.admit(first, "127.0.0.1") is None
    assert admission.admit(Nobody(), "192.0.2.1") is None
    assert admission.admit(Nobody(), "192.0.2.2") is TOO_MANY_CONNECTIONS
    admission.leave(first, "127.0.0.1")
    assert admission.admit(Nobody(), "192.0.2.2") is None


@pytest.mark.parametrize(
    ("one", "other", "counted_together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("::1", "::1", False),
        ("", "", False),
    ],
)
def test_one_address_is_capped_but_loopback_is_spared(one, other, counted_together):
    admission = Admission(total=9, per_address=1)
    first = Nobody()
    assert admission.admit(first, one) is None
    assert admission.admit(Nobody(), other) is (TOO_MANY_FROM_ADDRESS if counted_together else None)
    admission.leave(first, one)
    assert admission.admit(Nobody(), one) is None


def test_refusals_are_counted_by_network():
    assert network_of("192.0.2.77") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2:3::4") == "2001:db8:1:2::/64"
    assert network_of("") == ""
