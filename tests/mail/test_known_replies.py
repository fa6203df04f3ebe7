"""Replies of well-known hosts and programs, and what they mean."""

import pytest

from mailsuite.mail.known_replies import BLOCKLISTED, by_reason, known


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        # Block lists of addresses.
        ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "blocklisted"),
        ("550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus. (AS16012611)", "blocklisted"),
        ("550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list", "blocklisted"),
        (
            "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service "
            "provider since part of their network is on our block list (S3140).",
            "blocklisted",
        ),
        ("554 Service unavailable; Client host [mx.test] blocked using Barracuda Reputation;", "blocklisted"),
        (
            "550 5.7.1 Service unavailable; client [192.0.2.1] blocked using Cloudmark Sender Intelligence",
            "blocklisted",
        ),
        ("554 cmsmtp 192.0.2.1 is listed on Cloudmark CSI-Global. Please visit", "blocklisted"),
        ("553 5.3.0 flpd568 DNSBL:RBL 521< 192.0.2.1 >_is_blocked.For assistance", "blocklisted"),
        (
            "550 5.7.1 [192.0.2.1 1] Our system has detected an unusual rate of 550-5.7.1 unsolicited mail originating "
            "from your IP address. To protect our 550-5.7.1 users from spam, mail sent from your IP address has been "
            "blocked.",
            "blocklisted",
        ),
        ("554-mx.test Your IP address has been blacklisted", "blocklisted"),
        ("550 5.7.1 Mail from 192.0.2.1 deferred using Trend Micro Email Reputation database.", "blocklisted"),
        # Lists of domains say nothing about our address.
        ("550 5.7.1 Your email was rejected due to having a domain present in the Spamhaus DBL", "domain-listed"),
        ("550 5.7.1 Service unavailable, Helo domain is listed in Spamhaus. (S8001)", "domain-listed"),
        # Whom the recipient does not want is the recipient's affair.
        ("550 5.7.1 The recipient has blocked your address; sender on block list", None),
        # What large receivers ask for.
        (
            "550 5.7.26 Your email has been blocked because the sender is unauthenticated. Gmail requires all senders "
            "to authenticate with either SPF or DKIM.",
            "unauthenticated",
        ),
        ("550 5.7.515 Access denied, sending domain example.org doesn't meet the required level", "unauthenticated"),
        ("550 5.7.1 Email rejected per DMARC policy for example.org", "unauthenticated"),
        (
            "550 5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup.",
            "no-reverse-name",
        ),
        ("450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]", "no-reverse-name"),
        (
            "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address. To "
            "protect our users from spam, mail sent from your IP address has been temporarily rate limited.",
            "rate-limited",
        ),
        ("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume", "rate-limited"),
        ("421 RP-001 (BAY004) Unfortunately, some messages from 192.0.2.1 weren't sent.", "rate-limited"),
        ("451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77712344)", "rate-limited"),
        ("450 4.2.0 <bob@far.test>: Recipient address rejected: Greylisted, see help", "greylisted-there"),
        # The recipient.
        (
            "550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking",
            "no-such-address",
        ),
        (
            "550 5.1.1 <bob@far.test>: Recipient address rejected: User unknown in virtual mailbox table",
            "no-such-address",
        ),
        ("550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", "no-such-address"),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient bob@far.test not found by SMTP", "no-such-address"),
        ("554 delivery error: dd Requested mail action aborted: mailbox not found", "no-such-address"),
        ("550 No such user here", "no-such-address"),
        ("452 4.2.2 The recipient's inbox is out of storage space.", "mailbox-full-there"),
        ("552 5.2.2 Mailbox over quota", "mailbox-full-there"),
        ("550 5.2.1 The email account that you tried to reach is inactive.", "mailbox-closed"),
        ("552 5.3.4 Message size exceeds fixed limit", "too-large-there"),
        ("554 5.7.1 This message has been blocked because it is likely unsolicited mail", "content-refused"),
        ("554 5.7.1 Relay access denied", "not-theirs"),
        ("530 5.7.0 Must issue a STARTTLS command first", "tls-wanted"),
        # The sender's address is not the recipient's.
        ("450 4.1.8 <ann@example.org>: Sender address rejected: Domain not found", "sender-unknown"),
        ("553 5.1.8 <ann@example.org>... Domain of sender address does not exist", "sender-unknown"),
        ("550 5.1.0 <ann@example.org>: Sender address rejected: User unknown in local table", "sender-unknown"),
        ("550-Verification failed for <ann@example.org> 550-No Such User Here 550 Sender verify", "sender-unknown"),
        ("550 Address ann@example.org is blacklisted", None),
        ("550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", "few-may-write"),
        ("450 4.1.1 <b@far.test>: Recipient rejected: Address verification in progress", "greylisted-there"),
        ("550 5.7.708 Access denied, traffic not accepted from this IP", "blocklisted"),
        ("550 5.1.6 recipient no longer on server", "no-such-address"),
        # Names of people, domains and pages say nothing.
        ("550 Mailbox <ptr@far.test> does not exist", "no-such-address"),
        ("550 user <spam@dkim.far.test> unknown", "no-such-address"),
        ("550 5.1.1 no such user; see https://far.test/spf?reason=spam", "no-such-address"),
        # What means nothing known, and what was no refusal.
        ("451 4.3.0 Temporary lookup failure", None),
        ("550 Requested action not taken", None),
        ("250 2.0.0 OK, not blocked using zen.spamhaus.org", None),
        ("No connection to mx.far.test [192.0.2.9]:25: connection refused", None),
        ("", None),
    ],
)
def test_what_a_reply_means(reply, reason):
    found = known(reply)
    assert (found.reason if found else None) == reason


def test_a_long_reply_costs_little():
    """Each rule looks at the beginning alone, and no pattern goes back and forth over it."""
    assert known("550 " + "the client host ip address " * 5_000) is None
    assert known("550 " + "x" * 10_000_000 + " blocked using zen.spamhaus.org") is None


def test_each_is_found_by_its_word():
    assert by_reason("blocklisted") is BLOCKLISTED
    assert by_reason("accepted") is None
