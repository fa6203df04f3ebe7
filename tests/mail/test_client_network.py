from ipaddress import ip_network

import pytest

from mailsuite.mail.client_network import client_ip, client_network, wider_network


@pytest.mark.parametrize(
    ("address", "network", "wider"),
    [
        ("192.0.2.1", "192.0.2.1/32", "192.0.2.0/24"),
        ("::ffff:192.0.2.1", "192.0.2.1/32", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/48"),
    ],
)
def test_whose_addresses_are_one_client(address, network, wider):
    found = client_network(address)
    assert found == ip_network(network)
    assert wider_network(found) == ip_network(wider)


@pytest.mark.parametrize("text", ["", "unknown", "192.0.2", "/run/socket"])
def test_what_is_no_address_has_no_network(text):
    assert client_ip(text) is None
    assert client_network(text) is None
