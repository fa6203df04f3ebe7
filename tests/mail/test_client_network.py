from ipaddress import ip_network

import pytest

from mailsuite.mail.client_network import Reach, client_ip, client_network, holder_network, network_around


@pytest.mark.parametrize(
    ("address", "client", "neighbourhood", "holder", "region"),
    [
        ("192.0.2.1", "192.0.2.1/32", "192.0.2.0/24", "192.0.2.0/24", "192.0.0.0/16"),
        ("::ffff:192.0.2.1", "192.0.2.1/32", "192.0.2.0/24", "192.0.2.0/24", "192.0.0.0/16"),
        ("2001:db8:1:2::3", "2001:db8:1:2::/64", "2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/64", "fe80::/48", "fe80::/32"),
    ],
)
def test_which_networks_lie_around_a_client(address, client, neighbourhood, holder, region):
    found = client_network(address)
    assert found == ip_network(client)
    assert network_around(address, Reach.NEIGHBOURHOOD) == ip_network(neighbourhood)
    assert holder_network(found) == network_around(address, Reach.HOLDER) == ip_network(holder)
    assert network_around(address, Reach.REGION) == ip_network(region)


@pytest.mark.parametrize("text", ["", "unknown", "192.0.2", "/run/socket"])
def test_what_is_no_address_has_no_network(text):
    assert client_ip(text) is None
    assert client_network(text) is None
    assert network_around(text, Reach.REGION) is None


def test_a_mapped_address_is_the_ipv4_address_that_came():
    assert str(client_ip("::ffff:192.0.2.1")) == "192.0.2.1"
