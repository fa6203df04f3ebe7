"""Our own MTA-STS policies, as others fetch them (RFC 8461 §3.3)."""

import pytest

from mailsuite.directory.models import Domain
from mailsuite.mailauth.mtasts import PATH, Mode, parse_policy
from mailsuite.provisioning import services
from mailsuite.transport_security.models import MtaSts


@pytest.fixture
def ours(directory, configure):
    configure(hostname="mx.provider.test")


def get(client, host, **extra):
    return client.get(PATH, headers={"host": host}, **extra)


@pytest.mark.usefixtures("ours")
def test_the_policy_of_a_hosted_domain(client):
    response = get(client, "mta-sts.example.org")
    assert response.status_code == 200
    assert response["Content-Type"].partition(";")[0] == "text/plain"
    assert response.content == (b"version: STSv1\r\nmode: testing\r\nmx: mx.provider.test\r\nmax_age: 604800\r\n")
    assert get(client, "MTA-STS.Example.ORG").status_code == 200
    assert client.head(PATH, headers={"host": "mta-sts.example.org"}).status_code == 200


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("mode", Mode)
def test_the_mode_is_the_domain_s(client, mode):
    MtaSts.objects.create(domain=Domain.objects.get(name="example.org"), mode=mode.value)
    assert parse_policy(get(client, "mta-sts.example.org").content).mode is mode


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("example.org", 404),
        ("mail.example.org", 404),
        ("mx.provider.test", 404),
        ("mta-sts.elsewhere.test", 400),
        ("mta-sts.mta-sts.example.org", 400),
        ("mta-sts.mx.provider.test", 400),
    ],
)
def test_other_names_have_none(client, host, status):
    assert get(client, host).status_code == status


@pytest.mark.usefixtures("ours")
def test_a_disabled_domain_has_none(client):
    services.set_domain_state("example.org", disabled=True)
    assert get(client, "mta-sts.example.org").status_code == 400


@pytest.mark.usefixtures("ours")
def test_in_production_it_is_served_by_https_alone_and_not_redirected_there(client, configure):
    configure(production=True, hostname="mx.provider.test")
    assert get(client, "mta-sts.example.org", secure=True).status_code == 200
    assert get(client, "mta-sts.example.org").status_code == 301
