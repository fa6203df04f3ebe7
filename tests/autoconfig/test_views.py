"""What Thunderbird and Outlook ask for, as they ask."""

from xml.etree import ElementTree

import pytest

from mailsuite.autoconfig.autodiscover_request import LARGEST_OCTETS, RequestError, parse_request
from mailsuite.provisioning import services

OUTLOOK = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
REQUEST = """<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
  <Request>
    <EMailAddress>{address}</EMailAddress>
    <AcceptableResponseSchema>{schema}</AcceptableResponseSchema>
  </Request>
</Autodiscover>"""
SCHEMA = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"


def post(client, body, path="/autodiscover/autodiscover.xml"):
    return client.post(path, body, content_type="text/xml")


@pytest.fixture
def host(directory, configure):
    configure(
        hostname="mx.provider.test",
        listeners={"HTTP": (), "HTTPS": (), "IMAPS": (("0.0.0.0", 993),), "IMAP": (("0.0.0.0", 143),)}
        | {"POP3S": (), "POP3": (), "SUBMISSIONS": (("::", 465),), "SUBMISSION": ()},
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/mail/config-v1.1.xml", "autoconfig.example.org"),
        ("/mail/config-v1.1.xml?emailaddress=ann%40example.org", "autoconfig.example.org"),
        (f"{WELL_KNOWN}?emailaddress=ann%40example.org", "example.org"),
        (WELL_KNOWN, "example.org"),
        (f"{WELL_KNOWN}?emailaddress=ann%40EXAMPLE.org", "example.org:8000"),
        # Thunderbird asks so for the parent domain of the MX host.
        ("/mail/config-v1.1.xml?emailaddress=ann%40example.org", "autoconfig.provider.test"),
    ],
)
def test_thunderbird_finds_every_server(client, host, path, name):
    answer = client.get(path, headers={"host": name})
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/xml; charset=utf-8")
    root = ElementTree.fromstring(answer.content)
    assert (root.tag, root.get("version")) == ("clientConfig", "1.1")
    provider = root.find("emailProvider")
    assert provider.findtext("domain") == provider.get("id") == "example.org"
    found = [
        (one.tag, one.get("type"), one.findtext("hostname"), one.findtext("port"), one.findtext("socketType"))
        for one in provider
        if one.tag.endswith("Server")
    ]
    assert found == [
        ("incomingServer", "imap", "mx.provider.test", "993", "SSL"),
        ("incomingServer", "imap", "mx.provider.test", "143", "STARTTLS"),
        ("outgoingServer", "smtp", "mx.provider.test", "465", "SSL"),
    ]
    assert {one.findtext("username") for one in provider if one.tag.endswith("Server")} == {"%EMAILADDRESS%"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/mail/config-v1.1.xml", "mx.provider.test"),
        ("/mail/config-v1.1.xml?emailaddress=ann%40elsewhere.test", "autoconfig.example.org"),
        ("/mail/config-v1.1.xml?emailaddress=nonsense", "autoconfig.example.org"),
        ("/mail/config-v1.1.xml?emailaddress=%00%40example.org", "autoconfig.example.org"),
    ],
)
def test_thunderbird_learns_nothing_of_other_domains(client, host, path, name):
    assert client.get(path, headers={"host": name}).status_code == 404


def test_a_disabled_domain_is_not_served(client, host):
    services.set_domain_state("example.org", disabled=True)
    assert client.get(f"{WELL_KNOWN}?emailaddress=ann%40example.org").status_code == 404
    assert client.get("/mail/config-v1.1.xml", headers={"host": "autoconfig.example.org"}).status_code == 400


def test_existing_and_missing_addresses_get_the_same_answer(client, host):
    services.add_mailbox("ann@example.org", "correct horse battery")
    answers = []
    for local_part in ("ann", "bob"):
        address = f"{local_part}@example.org"
        answers.append(client.get(f"{WELL_KNOWN}?emailaddress={address}").content)
        answers.append(post(client, REQUEST.format(address=address, schema=SCHEMA)).content.replace(b"bob", b"ann"))
    assert answers[:2] == answers[2:]


@pytest.mark.parametrize(
    "path", ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.XML"]
)
def test_outlook_gets_its_settings(client, host, path):
    answer = post(client, REQUEST.format(address="ann@example.org", schema=SCHEMA), path)
    root = ElementTree.fromstring(answer.content)
    account = root.find(f"{OUTLOOK}Response/{OUTLOOK}Account")
    assert account.findtext(f"{OUTLOOK}Action") == "settings"
    protocols = {
        one.findtext(f"{OUTLOOK}Type"): {leaf.tag.removeprefix(OUTLOOK): leaf.text for leaf in one}
        for one in account.findall(f"{OUTLOOK}Protocol")
    }
    assert set(protocols) == {"IMAP", "SMTP"}
    assert protocols["IMAP"] == {
        "Type": "IMAP", "Server": "mx.provider.test", "Port": "993", "DomainRequired": "off", "SPA": "off",
        "LoginName": "ann@example.org", "SSL": "on", "Encryption": "SSL", "AuthRequired": "on",
    }  # fmt: skip


def test_a_get_is_answered_for_the_host(client, host):
    answer = client.get("/autodiscover/autodiscover.xml", headers={"host": "autodiscover.example.org"})
    assert answer.status_code == 200
    assert b"LoginName" not in answer.content
    asked = client.get("/autodiscover/autodiscover.xml?EMailAddress=ann%40example.org")
    assert b"<LoginName>ann@example.org</LoginName>" in asked.content


def test_what_an_address_holds_stays_text(client, host):
    answer = post(client, REQUEST.format(address="a&amp;b@example.org", schema=SCHEMA))
    root = ElementTree.fromstring(answer.content)
    assert root.find(f".//{OUTLOOK}LoginName").text == "a&b@example.org"


def test_activesync_is_refused_in_words_that_clients_know(client, host):
    schema = "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"
    assert b"<ErrorCode>601</ErrorCode>" in post(client, REQUEST.format(address="a@example.org", schema=schema)).content


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("<Autodiscover>", 400),
        ("nonsense", 400),
        (REQUEST.format(address="ann@elsewhere.test", schema=SCHEMA), 404),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a><Request>&x;</Request></a>', 400),
        ("<!DOCTYPE a><a/>", 400),
        ('<?xml version="1.0" encoding="no-such"?><a/>', 400),
        ("<a>" * 50 + "</a>" * 50, 400),
        (f"<a>{' ' * LARGEST_OCTETS}</a>", 400),
    ],
)
def test_hostile_requests_are_refused(client, host, body, status):
    assert post(client, body).status_code == status


def test_a_request_cut_at_any_octet_is_refused():
    whole = REQUEST.format(address="ann@example.org", schema=SCHEMA).encode()
    for length in range(len(whole)):
        with pytest.raises(RequestError):
            parse_request(whole[:length])
    assert parse_request(whole).address == "ann@example.org"


def test_the_address_is_taken_from_its_own_place_only():
    found = parse_request(
        b"<A><EMailAddress>x@y</EMailAddress><Request><B><EMailAddress>z@y</EMailAddress></B></Request></A>"
    )
    assert found.address == ""
