"""The owner's pages: signing in and out, the password, app passwords, sign-ins, profiles."""

import plistlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from django.urls import reverse

from mailsuite.access import authentication
from mailsuite.directory.models import Credential, Login, Mailbox, User
from mailsuite.portal import phone_link
from mailsuite.provisioning import services
from mailsuite.store.models import Usage

PASSWORD = "correct horse battery"
NEW = "a lamp on the shore"
PAGES = ["/", "/password", "/app-passwords", "/junk", "/rules", "/sign-ins"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """What is answered late is answered at once here; how late is the directory's to test."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def sign_in(client, name="ann@example.org", password=PASSWORD, **extra):
    return client.post("/sign-in", {"username": name, "password": password}, **extra)


def text(answer):
    return re.sub(r"<[^>]*>", "", answer.content.decode())


def login(name, password, protocol="imap"):
    return authentication.authenticate(name, password, protocol=protocol, client_address="192.0.2.1")


@pytest.mark.parametrize("page", PAGES)
def test_pages_want_somebody_signed_in(client, directory, page):
    answer = client.get(page)
    assert (answer.status_code, answer["Location"]) == (302, f"/sign-in?next={page}")


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_never_kept(signed_in, page):
    answer = signed_in.get(page)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]


def test_signing_in_and_out(client, ann):
    answer = sign_in(client)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert "ann@example.org" in text(client.get("/"))
    assert client.post("/sign-out")["Location"] == "/sign-in"
    assert client.get("/").status_code == 302


def test_signing_out_takes_a_post(signed_in):
    assert signed_in.get("/sign-out").status_code == 405
    assert signed_in.get("/").status_code == 200


def test_unknown_and_known_addresses_fail_with_the_same_words(client, ann):
    known, unknown = sign_in(client, password="wrong"), sign_in(client, name="nobody@example.org", password="wrong")
    assert "don't fit together" in text(known).replace("&#x27;", "'")
    cut = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"|value="[^"]*@example.org"')
    assert cut.sub(b"", known.content) == cut.sub(b"", unknown.content)


def test_too_many_wrong_passwords_lock_the_right_one_out_for_a_while(client, ann):
    for number in range(7):
        sign_in(client, password=f"wrong {number}")
    answer = sign_in(client)
    assert answer.status_code == 200
    assert "pauses for some minutes" in text(answer)


def test_signing_in_never_leads_elsewhere(client, ann):
    answer = client.post("/sign-in?next=https://evil.example/", {"username": ann.email, "password": PASSWORD})
    assert answer["Location"] == "/"


@pytest.mark.parametrize("change", [{"state": Mailbox.State.SUSPENDED}, {"state": Mailbox.State.REMOVED}])
def test_a_session_ends_with_its_mailbox(signed_in, ann, change):
    Mailbox.objects.filter(user=ann).update(**change)
    assert signed_in.get("/")["Location"] == "/sign-in"
    assert signed_in.get("/")["Location"] == "/sign-in?next=/"


def test_administrators_are_led_to_the_admin_and_owners_are_not(client, signed_in):
    assert "/admin/" not in signed_in.get("/").content.decode()
    client.force_login(User.objects.get(email="admin@localhost"))
    assert "/admin/" in client.get("/").content.decode()


@pytest.mark.parametrize(
    ("used", "level"), [(0, "ok"), (5 * 2**20, "ok"), (9 * 2**20, "high"), (10 * 2**20, "full"), (11 * 2**20, "full")]
)
def test_a_mailbox_shows_what_it_uses(signed_in, ann, used, level):
    Usage.objects.filter(mailbox__user=ann).update(used_octets=used, message_count=3)
    page = signed_in.get("/").content.decode()
    assert f'<progress class="{level}" max="{10 * 2**20}" value="{used}"' in page
    assert "3 messages" in page


def test_settings_are_those_of_the_listeners(signed_in, configure):
    configure(
        hostname="mx.example.org",
        listeners=dict.fromkeys(("IMAPS", "IMAP", "POP3S", "POP3", "SUBMISSIONS", "HTTP", "HTTPS"), ())
        | {"IMAPS": (("0.0.0.0", 993),), "SUBMISSION": (("0.0.0.0", 2525), ("0.0.0.0", 587))},
    )
    page = re.sub(r"\s+", " ", text(signed_in.get("/")))
    assert "mx.example.orgCopy 993 SSL/TLS" in page
    assert "mx.example.orgCopy 587 STARTTLS" in page
    assert "POP3)" not in page


def test_changing_the_password(signed_in, ann, client):
    other = type(client)()
    other.force_login(ann)
    answer = signed_in.post("/password", {"old_password": PASSWORD, "new_password": NEW, "repeated": NEW})
    assert answer.status_code == 302
    assert "Your password is changed" in text(signed_in.get("/password"))
    assert other.get("/").status_code == 302
    assert login(ann.email, NEW).succeeded
    assert not login(ann.email, PASSWORD).succeeded


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"old_password": "wrong", "new_password": NEW, "repeated": NEW}, "not your current password"),
        ({"old_password": PASSWORD, "new_password": NEW, "repeated": "other"}, "not the same"),
        ({"old_password": PASSWORD, "new_password": "short", "repeated": "short"}, "too weak"),
        ({"old_password": PASSWORD, "new_password": "ann@example.org", "repeated": "ann@example.org"}, "too weak"),
        ({"old_password": PASSWORD}, "required"),
    ],
)
def test_a_password_change_that_is_refused(signed_in, ann, fields, words):
    answer = signed_in.post("/password", fields)
    assert answer.status_code == 200
    assert words in text(answer)
    assert login(ann.email, PASSWORD).succeeded
    assert PASSWORD not in answer.content.decode()


def test_guessing_the_current_password_is_slowed_like_signing_in(signed_in, ann):
    for number in range(7):
        signed_in.post("/password", {"old_password": f"wrong {number}", "new_password": NEW, "repeated": NEW})
    answer = signed_in.post("/password", {"old_password": PASSWORD, "new_password": NEW, "repeated": NEW})
    assert "too many wrong passwords" in text(answer)


def test_an_app_password_is_shown_once_and_opens_what_it_is_for(signed_in, ann):
    fields = {"label": "Phone", "scopes": ["imap"], "lifetime": "90", "old_password": PASSWORD}
    page = signed_in.post("/app-passwords", fields).content.decode()
    made = re.search(r'<code id="made">([^<]+)</code>', page)[1]
    assert login(ann.email, made).succeeded
    assert login(ann.email, made, "smtp").reason == "not-allowed"
    again = signed_in.get("/app-passwords").content.decode()
    assert made not in again
    assert "Phone" in again
    assert Credential.objects.get().expires_at is not None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scopes": ["imap"]}, "required"),
        ({"label": "x"}, "Choose at least one"),
        ({"label": "x", "scopes": ["web"]}, "valid choice"),
        ({"label": " ", "scopes": "imap"}, "required"),
        ({"label": "x", "scopes": ["imap"], "old_password": ""}, "required"),
        ({"label": "x", "scopes": ["imap"], "old_password": "wrong"}, "not your current password"),
    ],
)
def test_an_app_password_that_is_refused(signed_in, fields, words):
    answer = signed_in.post("/app-passwords", {"lifetime": "0", "old_password": PASSWORD} | fields)
    assert answer.status_code == 200
    assert words in text(answer)
    assert PASSWORD not in answer.content.decode()
    assert not Credential.objects.exists()


def test_revoking_an_app_password(signed_in, ann):
    made = services.add_app_password(ann.pk, "Phone")
    signed_in.post(f"/app-passwords/{made.credential_id}/revoke")
    assert not login(ann.email, made.password).succeeded
    assert "Phone" not in text(signed_in.get("/app-passwords")).replace("“Phone” is revoked", "").replace(
        "Phone, l", ""
    )


def test_nobody_touches_what_is_somebody_elses(signed_in):
    services.add_mailbox("bob@example.org", PASSWORD)
    bob = User.objects.get(email="bob@example.org")
    made = services.add_app_password(bob.pk, "Bob's phone")
    theirs = Mailbox.objects.get(user=bob).pk
    signed_in.post(f"/app-passwords/{made.credential_id}/revoke")
    assert login(bob.email, made.password).succeeded
    assert signed_in.get(f"/phone/{theirs}").status_code == 404
    assert signed_in.get(f"/mailboxes/{theirs}/mail.mobileconfig").status_code == 404
    Login.objects.create(user=bob, address_key="bob@example.org", at=bob.created_at, protocol="imap", succeeded=True)
    assert "IMAP" not in text(signed_in.get("/sign-ins"))


def test_sign_ins_tell_of_successes_failures_and_refusals(signed_in, ann):
    login(ann.email, PASSWORD)
    login(ann.email, "wrong")
    Login.objects.create(
        address_key="ann@example.org", at=ann.created_at, protocol="smtp", client_address="203.0.113.9",
        succeeded=False, reason="too-many-failures", times=7,
    )  # fmt: skip
    page = text(signed_in.get("/sign-ins"))
    for words in ("Signed in", "Reading (IMAP)", "192.0.2.1", "Wrong password", "203.0.113.9", "7 times", "too many"):
        assert words in page


def test_a_profile_holds_everything_but_the_password(signed_in, ann):
    answer = signed_in.get(reverse("profile", args=[Mailbox.objects.get().pk]))
    assert answer["Content-Type"] == "application/x-apple-aspen-config"
    (account,) = plistlib.loads(answer.content)["PayloadContent"]
    assert account["PayloadType"] == "com.apple.mail.managed"
    assert account["EmailAddress"] == account["IncomingMailServerUsername"] == "ann@example.org"
    assert account["IncomingMailServerPortNumber"] == 1993
    assert account["OutgoingMailServerPortNumber"] == 1465
    assert not [key for key in account if key.endswith("Password") and key != "OutgoingPasswordSameAsIncomingPassword"]


def test_a_phone_gets_the_profile_by_a_link_that_ends(signed_in, ann, client):
    page = signed_in.get(f"/phone/{Mailbox.objects.get().pk}").content.decode()
    assert "<svg" in page
    link = re.search(r'http://testserver(/phone/[^"]+)', page)[1]
    phone = type(client)()
    assert phone.get(link)["Content-Type"] == "application/x-apple-aspen-config"
    assert phone.get(link.replace("/mail.mobileconfig", "x/mail.mobileconfig")).status_code == 404
    services.set_user_password(ann.pk, ann.password)
    assert phone.get(link).status_code == 404


def test_a_link_for_a_phone_ends_by_itself(client, ann, monkeypatch):
    token = phone_link.token_for(Mailbox.objects.get())
    monkeypatch.setattr(phone_link, "LIFETIME", phone_link.LIFETIME * -1)
    assert client.get(reverse("phone-profile", args=[token])).status_code == 404


@pytest.mark.parametrize("algorithm", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
def test_a_profile_is_signed_by_a_real_certificate(client, ann, configure, tmp_path, algorithm):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_certificate(certificate, key, algorithm)
    configure(tls_cert=certificate, tls_key=key)
    token = phone_link.token_for(Mailbox.objects.get())
    signed = client.get(reverse("phone-profile", args=[token])).content
    assert signed.startswith(b"0\x82")
    (own,) = pkcs7.load_der_pkcs7_certificates(signed)
    assert own.subject.rfc4514_string() == "CN=mx.example.org"
    start = signed.index(b"<?xml")
    assert plistlib.loads(signed[start : signed.index(b"</plist>") + 8])["PayloadType"] == "Configuration"


def write_certificate(certificate, key, private_key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.example.org")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, private_key.public_key(), x509.random_serial_number())
    made = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(private_key, hashes.SHA256())
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key.write_bytes(private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
