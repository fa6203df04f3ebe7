"""Mail from strangers through the whole suite, with a DNS server and real signers: where it ends, and what is told."""

import imaplib
import json
import re
import smtplib
import ssl
import time
import uuid
from contextlib import contextmanager

import dkim
import pytest
from foreign_mail import Signer, deliver, strings
from smtp_sink import Sink

pytestmark = pytest.mark.interop

PASSWORD = "a long password"
LEARN = "from datetime import UTC, datetime; from mailsuite.junk.training import *; learn_waiting(datetime.now(UTC))"
MESSAGE = b"From: Friend <friend@%s>\r\nTo: ann@trust.test\r\nSubject: %s\r\n\r\nHello  there\r\n.\r\n"


# A stranger's host, properly set up: else strangers have to come twice.
HOST = {("2.0.0.127.in-addr.arpa", "PTR"): ["mail.far.test."], ("mail.far.test", "A"): ["127.0.0.2"]}


@pytest.fixture(scope="module")
def domain(suite):
    suite.dns.records |= HOST
    suite.add_domain("trust.test")
    return "trust.test"


@pytest.fixture
def ann(suite, domain):
    address = f"{uuid.uuid4().hex[:8]}@{domain}"
    suite.add_mailbox(address, PASSWORD)
    return address


@pytest.fixture
def far(suite):
    """A domain that nobody knows yet. `publish(policy, spf)` puts it into DNS."""
    return Far(suite)


class Far:
    def __init__(self, suite):
        self.suite, self.name = suite, f"{uuid.uuid4().hex[:8]}.example"
        self.signer = Signer(self.name)
        suite.dns.records |= HOST | self.signer.records

    def publish(self, policy: str, spf: str = "v=spf1 -all") -> None:
        self.suite.dns.records |= {
            (f"_dmarc.{self.name}", "TXT"): [strings(f"v=DMARC1; p={policy}")],
            (self.name, "TXT"): [strings(spf)],
        }

    def message(self, subject: bytes = b"hi") -> bytes:
        return MESSAGE % (self.name.encode(), subject)

    def send(self, message: bytes, *to: str) -> tuple[int, str]:
        code, text = deliver(self.suite.port("SMTP"), message, *to, sender=f"friend@{self.name}")
        return code, text.decode()


def refusal(suite, address: str) -> str:
    """The story of what was refused for the address: such stories are written once a second."""
    deadline = time.monotonic() + 20
    while (done := suite.run("trace", address)).returncode and time.monotonic() < deadline:
        time.sleep(0.1)
    return done.stdout


@contextmanager
def signed_in(suite, address: str):
    context = ssl.create_default_context(cafile=str(suite.certificate))
    with imaplib.IMAP4_SSL("localhost", suite.port("IMAPS"), ssl_context=context, timeout=60) as client:
        client.login(address, PASSWORD)
        yield client


def folder(suite, address: str, name: str) -> list[bytes]:
    with signed_in(suite, address) as client:
        _, [count] = client.select(name, readonly=True)
        return [client.fetch(str(number + 1), "(BODY.PEEK[])")[1][0][1] for number in range(int(count))]


def results_of(octets: bytes) -> str:
    """The topmost Authentication-Results, as one line."""
    block = octets.partition(b"\r\n\r\n")[0].decode()
    return re.search(r"^Authentication-Results: ([^\r]*(?:\r\n[ \t][^\r]*)*)", block, re.MULTILINE)[1].replace(
        "\r\n\t", " "
    )


def test_a_forgery_is_refused_where_its_domain_asks_for_it_and_the_story_says_why(suite, ann, far):
    far.publish("reject")
    code, text = far.send(far.message(b"forged"), ann)
    assert (code, text) == (550, f"5.7.1 Rejected per DMARC policy for {far.name} (dmarc-reject)")
    story = refusal(suite, ann)
    assert "dmarc-reject" in story and "forged" in story
    assert f"Refused because {far.name} does not stand behind it and asks to reject such mail." in story
    assert f"_dmarc.{far.name} TXT" in story


def test_a_forgery_goes_to_junk_where_its_domain_asks_for_that(suite, ann, far):
    far.publish("quarantine")
    assert far.send(far.message(), ann)[0] == 250
    [found] = folder(suite, ann, "Junk")
    assert "dmarc=fail" in results_of(found) and "x-mailsuite=junk policy.reason=dmarc-quarantine" in results_of(found)
    assert folder(suite, ann, "INBOX") == []
    assert "In Junk because" in suite.manage("trace", ann)


def test_forwarded_mail_whose_signature_holds_reaches_the_inbox(suite, ann, far):
    """Its SPF says fail: forwarding breaks it."""
    far.publish("reject", spf="v=spf1 ip4:192.0.2.1 -all")
    assert far.send(far.signer.sign(far.message()), ann)[0] == 250
    [found] = folder(suite, ann, "INBOX")
    said = results_of(found)
    assert "spf=fail" in said and f"dkim=pass (2048-bit key) header.d={far.name}" in said and "dmarc=pass" in said


def test_genuine_mail_has_our_findings_on_top_and_nobody_else_s_in_our_name(suite, ann, far):
    far.publish("reject", spf="v=spf1 ip4:127.0.0.2 -all")
    forged = b"authentication-results:\r\n MX.suite.test (x);\r\n dmarc=fail; dkim=fail\r\n"
    theirs = b"Authentication-Results: mx.other.example; dkim=pass\r\n"
    signed = far.signer.sign(far.message())
    assert far.send(forged + theirs + signed, ann)[0] == 250
    [found] = folder(suite, ann, "INBOX")
    assert found.endswith(theirs + signed)
    prefix = found[: -len(theirs + signed)]
    assert prefix.lower().count(b"authentication-results:") == 1 and b"dmarc=fail" not in prefix
    assert prefix.index(b"Authentication-Results: mx.suite.test;") < prefix.index(b"Received: ")
    assert "spf=pass" in results_of(found) and "dmarc=pass" in results_of(found)
    assert "1 field that claimed to be ours was removed" in suite.manage("trace", ann)


def test_a_friend_s_first_mail_and_a_newsletter_reach_the_inbox(suite, ann, far):
    far.publish("none", spf="v=spf1 ip4:127.0.0.2 -all")
    assert far.send(far.message(b"first"), ann)[0] == 250
    letter = b"List-Id: <news.%s>\r\nList-Unsubscribe: <https://%s/off>\r\n" % ((far.name.encode(),) * 2)
    assert far.send(far.signer.sign(letter + far.message(b"news")), ann)[0] == 250
    first, news = folder(suite, ann, "INBOX")
    assert "dmarc=pass" in results_of(first) and "dkim=none" in results_of(first)
    assert "dmarc=pass" in results_of(news) and "dkim=pass" in results_of(news)
    story = suite.manage("trace", ann, "first")
    assert "In the inbox: nothing speaks against it." in story


def test_what_the_owner_calls_junk_decides_from_then_on(suite, ann, far):
    far.publish("reject", spf="v=spf1 ip4:127.0.0.2 -all")
    assert far.send(far.message(b"once"), ann)[0] == 250
    with signed_in(suite, ann) as client:
        client.select("INBOX")
        assert client.uid("MOVE", "1", "Junk")[0] == "OK"
    # Else the suite learns twice a minute.
    suite.manage("shell", "-c", LEARN)
    assert far.send(far.message(b"again"), ann)[0] == 250
    [_, found] = folder(suite, ann, "Junk")
    assert "policy.reason=unwanted-sender" in results_of(found)
    assert f"In Junk because of friend@{far.name} this mailbox called 1 junk" in suite.manage("trace", ann, "again")
    assert folder(suite, ann, "INBOX") == []


def test_an_answer_that_comes_at_once_is_no_junk(suite, ann, far):
    """What it answers was taken a moment before: nothing periodic has looked at it."""
    suite.dns.records[far.name, "TXT"] = [strings("v=spf1 -all")]
    assert far.send(far.message(b"unasked"), ann)[0] == 250
    question, context = f"<{uuid.uuid4().hex}@trust.test>", ssl.create_default_context(cafile=str(suite.certificate))
    with smtplib.SMTP_SSL("localhost", suite.port("SUBMISSIONS"), context=context, timeout=60) as client:
        client.login(ann, PASSWORD)
        octets = f"From: {ann}\r\nTo: friend@{far.name}\r\nMessage-ID: {question}\r\nSubject: hi\r\n\r\nHow?\r\n"
        client.sendmail(ann, [f"friend@{far.name}"], octets.encode())
    assert far.send(b"In-Reply-To: %s\r\n" % question.encode() + far.message(b"Re: hi"), ann)[0] == 250
    assert far.send(far.signer.sign(far.message(b"one more thing")), ann)[0] == 250
    [unasked] = folder(suite, ann, "Junk")
    assert "policy.reason=spf-fail" in results_of(unasked)
    arrived = b"".join(folder(suite, ann, "INBOX"))
    assert b"Subject: Re: hi" in arrived and b"Subject: one more thing" in arrived
    assert "In the inbox because it answers a message that this mailbox sent." in suite.manage("trace", ann, "Re: hi")
    assert f"In the inbox because this mailbox wrote to friend@{far.name}" in suite.manage("trace", ann, "one more")


def test_dns_in_trouble_refuses_nothing_and_is_told(suite, ann, far):
    far.publish("reject")
    suite.dns.records |= {(f"_dmarc.{far.name}", "TXT"): "servfail", (far.name, "TXT"): "servfail"}
    assert far.send(far.message(), ann)[0] == 250
    [found] = folder(suite, ann, "INBOX")
    assert "dmarc=temperror" in results_of(found) and "spf=temperror" in results_of(found)
    assert "temperror" in suite.manage("trace", ann)


def test_fifty_signatures_cost_ten_verifications(suite, ann, far):
    far.publish("reject")
    message = far.message()
    for number in range(50):
        selector = f"n{number}"
        suite.dns.records[f"{selector}._domainkey.{far.name}", "TXT"] = [strings(far.signer.record)]
        message = far.signer.sign(message, selector)
    assert far.send(message, ann)[0] == 250
    asked = {name for name, _, _ in suite.dns.questions if name.endswith(f"._domainkey.{far.name}")}
    assert len(asked) == 10
    [found] = folder(suite, ann, "INBOX")
    assert results_of(found).count("dkim=") == 10


def test_what_comes_from_elsewhere_in_our_name_goes_to_junk_unless_it_is_our_own_come_back(suite, ann, far):
    """A domain hosted here that publishes no policy; what its user posted comes back with a list's changes."""
    far.publish("none", spf="v=spf1 ip4:127.0.0.2 -all")
    forged = MESSAGE.replace(b"%s", b"trust.test", 1) % b"pay"
    assert far.send(b"Return-Path: <boss@trust.test>\r\n" + forged, ann)[0] == 250
    [found] = folder(suite, ann, "Junk")
    assert "policy.reason=own-domain-forged" in results_of(found)
    assert found.count(b"Return-Path:") == 1 and found.startswith(b"Return-Path: <friend@%s>" % far.name.encode())
    assert "In Junk because it says that it is from trust.test, which is hosted here" in suite.manage(
        "trace", ann, "pay"
    )
    post, context = f"<{uuid.uuid4().hex}@trust.test>", ssl.create_default_context(cafile=str(suite.certificate))
    octets = f"From: {ann}\r\nTo: list@{far.name}\r\nMessage-ID: {post}\r\nSubject: %s\r\n\r\nHello\r\n"
    with smtplib.SMTP_SSL("localhost", suite.port("SUBMISSIONS"), context=context, timeout=60) as client:
        client.login(ann, PASSWORD)
        client.sendmail(ann, [f"list@{far.name}"], (octets % "post").encode())
    sent_on = f"List-Id: <list.{far.name}>\r\n" + octets % "[list] post"
    assert far.send(sent_on.encode() + b".\r\n", ann)[0] == 250
    # Beside it there may be the notification that nobody takes mail for the list.
    assert [b"Subject: [list] post" in found for found in folder(suite, ann, "INBOX")].count(True) == 1


def test_who_has_no_author_goes_to_junk(suite, ann, far):
    far.publish("none", spf="v=spf1 ip4:127.0.0.2 -all")
    assert far.send(b"From: a@bank.example\r\n" + far.message(), ann)[0] == 250
    assert len(folder(suite, ann, "Junk")) == 1


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


def test_what_is_forwarded_is_sealed_and_its_signature_stays_whole(start_suite, sink):
    suite = start_suite(MAILSUITE_RETRY="1s,2s")
    suite.add_domain("forward.test")
    suite.manage("route", "add", "*", f"smtp://127.0.0.1:{sink.port}")
    suite.add_alias("away@forward.test", "ann@far.test")
    far = Far(suite)
    far.publish("reject", spf="v=spf1 ip4:127.0.0.2 -all")
    signed = far.signer.sign(far.message())
    assert far.send(signed, "away@forward.test")[0] == 250
    [message] = sink.wait_for_messages(1)
    assert message.sender.startswith("SRS0=") and message.data.endswith(signed)
    assert message.data.startswith(b"ARC-Seal: i=1;")

    published = key_of(suite.manage("domain", "records", "forward.test"))

    def answer(name: bytes, timeout: float = 5) -> bytes:
        return (far.signer.record if far.name in name.decode() else published).encode()

    assert dkim.verify(message.data, dnsfunc=answer)
    cv, sets, why = dkim.arc_verify(message.data, dnsfunc=answer)
    assert cv == dkim.CV_Pass, why
    assert b"dmarc=pass" in message.data.partition(b"ARC-Authentication-Results")[2].partition(b"\r\nDelivered")[0]
    # Who was forwarded to bounces it: the way back leads to whoever wrote.
    code, text = deliver(suite.port("SMTP"), b"From: m@far.test\r\nSubject: bounce\r\n\r\n", message.sender, sender="")
    assert code == 250, text
    assert sink.wait_for_messages(2)[1].recipients == [f"friend@{far.name}"]


def key_of(records: str) -> str:
    """The RSA key's record among what `domain records` prints, its strings joined."""
    octets_in_base64 = 392  # of an RSA-2048 public key
    return "v=DKIM1; k=rsa; p=" + re.sub(r'["\s]', "", records.partition("k=rsa; p=")[2])[:octets_in_base64]


def test_the_story_s_data_is_what_reports_are_made_of(suite, ann, far):
    far.publish("none", spf="v=spf1 ip4:127.0.0.2 -all")
    far.send(far.message(), ann)
    shell = "from mailsuite.trace.models import Story; print(Story.objects.order_by('-pk').first().data)"
    data = json.loads(suite.manage("shell", "--no-imports", "-c", shell))
    assert data["authentication"]["client_address"] == "127.0.0.2"
    assert data["verdict"]["whole"]["action"] == "inbox"
