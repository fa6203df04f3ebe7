"""Which names are answered, what plain HTTP carries, whom X-Forwarded-* is believed from, which headers go out."""

from ipaddress import ip_network

import pytest

from mailsuite.web import hosts

LISTENERS = {"HTTP": (("0.0.0.0", 80),), "HTTPS": (("0.0.0.0", 443),)}
# What /health answers where no store runs.
SERVED = 503
PROXY, STRANGER = "192.0.2.10", "203.0.113.7"


@pytest.fixture
def production(directory, configure):
    """Behind no proxy but PROXY."""
    configure(production=True, hostname="mx.provider.test", listeners=LISTENERS, trusted_proxies=(ip_network(PROXY),))


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost", SERVED),
        ("localhost:8000", SERVED),
        ("127.0.0.1", SERVED),
        ("127.8.8.8:1", SERVED),
        ("[::1]:8000", SERVED),
        ("mx.provider.test", SERVED),
        ("MX.Provider.Test.", SERVED),
        ("example.org", SERVED),
        ("autoconfig.example.org", SERVED),
        ("autodiscover.example.org", SERVED),
        ("mta-sts.example.org", SERVED),
        ("mail.example.org", SERVED),
        ("autoconfig.provider.test", SERVED),
        ("autoconfig.mx.provider.test", SERVED),
        ("10.1.2.3:8000", SERVED),
        ("evil.example", 400),
        ("www.example.org", 400),
        ("provider.test", 400),
        ("autoconfig.test", 400),
        ("autoconfig.autoconfig.example.org", 400),
        ("example.org.evil.example", 400),
        ("203.0.113.7", 400),
        ("example.org@evil.example", 400),
        ("exa mple.org", 400),
        ("example.org/x", 400),
        ("..", 400),
        ("[::1", 400),
    ],
)
def test_names_that_are_answered(client, directory, configure, name, status):
    configure(hostname="mx.provider.test", listeners={"HTTP": (("10.1.2.3", 8000),), "HTTPS": ()})
    answer = client.get("/health", headers={"host": name})
    assert answer.status_code == status
    if status == 400:
        assert answer["Content-Type"].startswith("text/plain")
        assert name not in answer.content.decode()


def test_a_bare_host_has_no_subdomains_of_its_own(directory, configure):
    configure(hostname="localhost")
    assert not hosts.is_ours("autoconfig.localhost")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", SERVED),
        ("/.well-known/acme-challenge/nothing", 404),
        ("/mail/config-v1.1.xml?emailaddress=ann%40example.org", 200),
        ("/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=ann%40example.org", 200),
        ("/", 301),
        ("/sign-in?next=/password", 301),
        ("/admin/login/", 301),
        ("/healthy", 301),
        ("/autodiscover/autodiscover.xml", 301),
        ("/static/mailsuite/owner.css", 301),
    ],
)
@pytest.mark.parametrize("peer", [STRANGER, "127.0.0.1"])
def test_plain_http_in_production_serves_few_things(client, production, path, status, peer):
    answer = client.get(path, headers={"host": "example.org"}, REMOTE_ADDR=peer)
    assert answer.status_code == status
    if status == 301:
        assert answer["Location"] == f"https://mx.provider.test{path}"


def test_a_password_sent_in_clear_is_not_looked_at(client, production):
    answer = client.post("/sign-in", {"username": "ann@example.org", "password": "x"}, REMOTE_ADDR=STRANGER)
    assert answer.status_code == 403


def test_https_is_served_with_secure_cookies_only_and_hsts(client, production, settings):
    settings.SECURE_HSTS_SECONDS, settings.CSRF_COOKIE_SECURE = 31536000, True
    answer = client.get("/sign-in", secure=True, headers={"host": "mx.provider.test"}, REMOTE_ADDR=STRANGER)
    assert answer.status_code == 200
    assert answer.cookies["csrftoken"]["secure"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "status"),
    [
        (PROXY, "https", 200),
        (PROXY, "http, https", 200),
        (PROXY, "", 200),
        (PROXY, "http", 301),
        (PROXY, "https, http", 301),
        (STRANGER, "https", 301),
        ("127.0.0.1", "https", 301),
    ],
)
def test_only_a_trusted_proxy_is_believed(client, production, peer, forwarded, status):
    headers = {"host": "mx.provider.test"} | ({"x-forwarded-proto": forwarded} if forwarded else {})
    answer = client.get("/sign-in", headers=headers, REMOTE_ADDR=peer)
    assert answer.status_code == status
    assert answer.wsgi_request.is_secure() == (peer == PROXY and forwarded.endswith("https"))


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 200), ("::1", 200), (STRANGER, 301)])
def test_without_production_plain_http_serves_this_machine_alone(client, directory, configure, peer, status):
    configure(listeners={"HTTP": (("0.0.0.0", 8000),), "HTTPS": (("0.0.0.0", 8443),)})
    answer = client.get("/sign-in", headers={"host": "example.org:8000"}, REMOTE_ADDR=peer)
    assert answer.status_code == status
    if status == 301:
        assert answer["Location"] == "https://example.org:8443/sign-in"


def test_headers_of_a_page(client, directory):
    answer = client.get("/sign-in")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


def test_pages_load_nothing_from_elsewhere_and_hold_no_script(client, directory):
    page = client.get("/sign-in").content.decode()
    assert "http://" not in page
    assert "https://" not in page
    assert "<script>" not in page
    assert " style=" not in page
    assert " onclick=" not in page


def test_errors_have_the_headers_too(client, directory):
    answer = client.get("/no-such-page")
    assert answer.status_code == 404
    assert "There is no such page" in answer.content.decode()
    assert "default-src 'none'" in answer["Content-Security-Policy"]
