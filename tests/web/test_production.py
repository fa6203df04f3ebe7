"""The running web service under production's rules, over real sockets: what HTTPS carries and what plain HTTP does."""

import http.client
import re
import ssl
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.interop
HOST, ADDRESS, PASSWORD = "mx.suite.test", "ann@example.org", "correct horse battery"


@pytest.fixture
def production(start_suite):
    suite = start_suite(MAILSUITE_PRODUCTION="yes")
    suite.add_domain("example.org")
    suite.add_mailbox(ADDRESS, PASSWORD)
    return suite


def ask(suite, method, path, body=None, headers=(), *, tls=True):
    """One request under the suite's name; returns status, headers and text."""
    if tls:
        context = ssl.create_default_context(cafile=str(suite.certificate))
        connection = http.client.HTTPSConnection("localhost", suite.port("HTTPS"), context=context, timeout=30)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", suite.port("HTTP"), timeout=30)
    try:
        connection.request(method, path, body, {"Host": HOST} | dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def cookies(headers):
    return {one.key: one for line in headers.get_all("Set-Cookie", []) for one in SimpleCookie(line).values()}


def test_signing_in_takes_https_and_leaves_a_cookie_for_this_host_alone(production):
    status, headers, page = ask(production, "GET", "/sign-in")
    assert status == 200
    assert headers["Strict-Transport-Security"].startswith("max-age=")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    body = urlencode({"username": ADDRESS, "password": PASSWORD, "csrfmiddlewaretoken": token})
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{HOST}"}
    form["Cookie"] = f"__Host-csrf={cookies(headers)['__Host-csrf'].value}"
    assert ask(production, "POST", "/sign-in", body, form | {"Origin": "https://evil.example"})[0] == 403
    assert ask(production, "POST", "/sign-in", body, form, tls=False)[0] == 403
    status, headers, _ = ask(production, "POST", "/sign-in", body, form)
    assert (status, headers["Location"]) == (302, "/")
    session = cookies(headers)["__Host-session"]
    assert (session["secure"], session["httponly"], session["path"], session["domain"]) == (True, True, "/", "")
    page = ask(production, "GET", "/", headers={"Cookie": f"__Host-session={session.value}"})[2]
    assert ADDRESS in page
    assert ask(production, "GET", "/static/mailsuite/owner.css")[0] == 200


def test_plain_http_leads_to_https_but_serves_what_comes_before_it(production):
    status, headers, _ = ask(production, "GET", "/", tls=False)
    assert (status, headers["Location"]) == (301, f"https://{HOST}:{production.port('HTTPS')}/")
    assert ask(production, "GET", "/health", tls=False)[0] == 200
    config = f"/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress={ADDRESS}"
    assert f"<port>{production.port('IMAPS')}</port>" in ask(production, "GET", config, tls=False)[2]
    believed = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    assert ask(production, "GET", "/sign-in", headers=believed, tls=False)[0] == 301


def test_other_names_are_refused(production):
    for tls in (True, False):
        assert ask(production, "GET", "/health", headers={"Host": "evil.example"}, tls=tls)[0] == 400
