"""What somebody tries who means ill: others' sessions, forms and links, forged addresses, a look at log and errors."""

import logging
import re

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from mailsuite.access import authentication
from mailsuite.autoconfig.views import outlook
from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.junk.models import Sender
from mailsuite.provisioning import services
from mailsuite.screening.models import Rule

PASSWORD, WRONG = "correct horse battery", "wrong-and-very-secret"
# What may not become of a link after signing in.
ELSEWHERE = [
    "https://evil.example/", "//evil.example/", "///evil.example", "/\\evil.example", "\\\\evil.example",
    "https:evil.example", "http:///evil.example", "javascript:alert(1)", "data:text/html,x",
    "//testserver@evil.example/", "\x08//evil.example",
    "/\r\nSet-Cookie: planted=1", "https://testserver.evil.example/", "ftp://testserver/",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def sign_in(client, path="/sign-in", password=PASSWORD, name="ann@example.org", **extra):
    return client.post(path, {"username": name, "password": password} | extra.pop("data", {}), **extra)


def views():
    """Every view that an address leads to, with its pattern."""
    waiting = [(get_resolver(), "/")]
    while waiting:
        resolver, front = waiting.pop()
        for one in resolver.url_patterns:
            if isinstance(one, URLResolver):
                waiting.append((one, front + str(one.pattern)))
            elif isinstance(one, URLPattern):
                yield front + str(one.pattern), one.callback


def test_a_session_planted_before_signing_in_is_worth_nothing_after(client, ann):
    session = client.session
    session["planted"] = "yes"
    session.save()
    planted = session.session_key
    client.cookies["sessionid"] = planted
    assert sign_in(client).status_code == 302
    assert client.session.session_key != planted
    assert not Session.objects.filter(session_key=planted).exists()
    other = Client()
    other.cookies["sessionid"] = planted
    assert other.get("/").status_code == 302


@pytest.mark.parametrize("path", ["/sign-in", "/admin/login/"])
@pytest.mark.parametrize("link", ELSEWHERE)
def test_no_link_leads_away_after_signing_in(client, directory, path, link):
    answer = sign_in(client, path, name="admin@localhost", data={"next": link})
    again = client.get(path, {"next": link})
    for one in (answer, again):
        assert one.status_code == 302
        assert re.fullmatch(r"/(admin/)?|/(%08|%0D%0A)[^\s]*", one["Location"]), one["Location"]
        assert "planted" not in one.cookies


def test_every_form_wants_its_token():
    exempt = {view for _, view in views() if getattr(view, "csrf_exempt", False)}
    assert exempt == {outlook}


def test_a_form_sent_from_elsewhere_changes_nothing(ann):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    mailbox = Mailbox.objects.get()
    rule = {"mailbox": mailbox.pk, "sender": "eve@shop.example", "action": "allow"}
    assert client.post("/rules", rule).status_code == 403
    assert client.post("/sign-out").status_code == 403
    page = client.get("/rules").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    assert client.post("/rules", rule | {"csrfmiddlewaretoken": "x" * len(token)}).status_code == 403
    forged = client.post("/rules", rule | {"csrfmiddlewaretoken": token}, headers={"origin": "https://evil.example"})
    assert forged.status_code == 403
    assert b"too old" in forged.content and not Rule.objects.exists()
    assert client.post("/rules", rule | {"csrfmiddlewaretoken": token}).status_code == 302


def test_an_owner_reaches_nothing_of_another_by_any_address(signed_in, ann):
    """Every address with a number in it, with the other's numbers."""
    services.add_mailbox("bob@example.org", PASSWORD)
    bob = User.objects.get(email="bob@example.org")
    theirs = Mailbox.objects.get(user=bob)
    made = services.add_app_password(bob.pk, "Bob's phone")
    numbers = {
        "mailbox_id": theirs.pk,
        "credential_id": made.credential_id,
        "rule_id": Rule.objects.create(mailbox=theirs, value="x@shop.example").pk,
        "sender_id": Sender.objects.create(
            mailbox=theirs, rung="from", key="y@shop.example", changed_at=ann.created_at
        ).pk,
    }
    tried = 0
    for pattern, _ in views():
        names = re.findall(r"<int:(\w+)>", pattern)
        if not names or pattern.startswith("/admin/"):
            continue
        url = re.sub(r"<int:(\w+)>", lambda match: str(numbers[match[1]]), pattern)
        for answer in (signed_in.get(url), signed_in.post(url, {"minutes": "60"})):
            assert answer.status_code in (302, 404, 405), url
            assert b"bob@" not in answer.content and b"Bob" not in answer.content, url
        tried += 1
    assert tried >= 8
    assert authentication.authenticate(bob.email, made.password, protocol="imap", client_address="192.0.2.1").succeeded
    assert (Rule.objects.count(), Sender.objects.count()) == (1, 1)
    assert not hasattr(Mailbox.objects.get(pk=theirs.pk), "sender_pause")


def test_guesses_are_counted_whatever_address_they_claim_to_come_from(client, ann):
    for number in range(7):
        sign_in(client, password=f"wrong {number}", headers={"x-forwarded-for": f"192.0.2.{number}"})
    answer = sign_in(client, headers={"x-forwarded-for": "198.51.100.1"})
    assert answer.status_code == 200 and b"pauses for some minutes" in answer.content


def test_the_admin_tells_nobody_why_it_does_not_let_them_in(client, ann):
    """Nobody's address, a wrong password, and an owner's right one; and that guessing makes everybody wait."""
    tries = [("nobody@example.org", WRONG), ("admin@localhost", WRONG), ("ann@example.org", PASSWORD)]
    pages = [sign_in(client, "/admin/login/", password, name).content.decode() for name, password in tries]
    assert all("signing in pauses for some minutes" in page for page in pages)
    assert client.get("/").status_code == 302
    token = re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"|value="[^"]*@[^"]*"')
    assert len({token.sub("", page) for page in pages}) == 1


@pytest.mark.parametrize("path", ["/sign-in", "/admin/login/"])
def test_no_password_stands_in_the_log_or_in_the_page(client, ann, caplog, path):
    caplog.set_level(logging.DEBUG)
    sign_in(client, path)
    pages = [sign_in(client, path, WRONG), client.post(path, {"username": WRONG, "password": WRONG})]
    # Typed into the wrong field, it is shown to who typed it, and kept nowhere else than in the log of logins.
    assert WRONG not in pages[0].content.decode()
    assert PASSWORD not in caplog.text and WRONG not in caplog.text


def test_an_error_of_ours_tells_nothing_and_is_logged_without_the_password(client, ann, caplog, monkeypatch):
    def break_down(*arguments, **options):
        raise RuntimeError("the inside of it")

    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(authentication.accounts, "find", break_down)
    client.raise_request_exception = False
    answer = sign_in(client, password=WRONG)
    page = answer.content.decode()
    assert answer.status_code == 500
    assert "Something went wrong here" in page
    assert not [word for word in ("inside", "Traceback", "RuntimeError", WRONG) if word in page]
    assert "default-src 'none'" in answer["Content-Security-Policy"] and answer["X-Frame-Options"] == "DENY"
    assert "the inside of it" in caplog.text and WRONG not in caplog.text


def test_names_from_the_request_reach_no_link(signed_in, ann):
    """The QR code's link is for the host that was asked, not for one that a header names."""
    headers = {"x-forwarded-host": "evil.example", "forwarded": "host=evil.example", "x-host": "evil.example"}
    page = signed_in.get(reverse("phone", args=[Mailbox.objects.get().pk]), headers=headers).content.decode()
    assert "http://testserver/phone/" in page and "evil.example" not in page


def test_settings_files_name_no_host_of_the_requests(client, ann):
    """A Host that is ours but not the mail host's name: clients are sent to where the listeners are."""
    for path in ("/mail/config-v1.1.xml", "/autodiscover/autodiscover.xml"):
        answer = client.get(path, headers={"host": "autoconfig.example.org", "x-forwarded-host": "evil.example"})
        assert answer.status_code == 200 and b"evil" not in answer.content
        assert b"<hostname>autoconfig." not in answer.content and b"<Server>autoconfig." not in answer.content


@pytest.mark.parametrize("path", ["/sign-in", "/admin/login/", "/nothing", "/health", "/sign-out"])
def test_no_answer_may_be_framed_or_guessed_to_be_something_else(client, directory, path):
    answer = client.get(path)
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY" and answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/admin/queue/route/", 403, "not yours to open"),
        ("/admin/directory/mailbox/?user__password__startswith=argon2", 400, "could not be read"),
    ],
)
def test_what_is_refused_is_said_on_a_page_of_ours(client, directory, path, status, words):
    """A domain administrator after what belongs to the site, or to others' accounts."""
    boss = User.objects.create_user("boss@localhost", PASSWORD, is_staff=True)
    boss.administered_domains.add(Domain.objects.get())
    client.force_login(boss)
    answer = client.get(path)
    assert answer.status_code == status and words in answer.content.decode()
