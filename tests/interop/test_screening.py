"""Screening as a sending host meets it: over SMTP, from an address that is not spared as 127.0.0.1 is."""

import smtplib

import pytest

pytestmark = pytest.mark.interop

STRANGER, SENDER, ANN = "127.0.0.2", "eve@far.test", "ann@screened.test"
MESSAGE = f"""\
From: {SENDER}
To: {ANN}
Subject: hello
Message-ID: <1@far.test>
Date: Tue, 24 Nov 2026 12:00:00 +0000

hi
"""
WAIT_IS_OVER = (
    "from mailsuite.screening.models import *; GreylistEntry.objects.update(first_seen_at='2020-01-01T00:00Z')"
)
ADD_LIST = """
from mailsuite.screening.models import DnsList
from mailsuite.screening.services import save_list
save_list(DnsList(name="Our own list", zone="bl.test", weight=2, is_active=True))
"""
ADD_RULE = """
from mailsuite.screening.models import Rule
from mailsuite.screening.rules import save_rule
save_rule(Rule(action="{action}", subject="network", value="127.0.0.2"))
"""


def send(suite, source=STRANGER):
    """The reply to the message, as text."""
    port = suite.port("SMTP")
    with smtplib.SMTP("127.0.0.1", port, local_hostname="mail.far.test", source_address=(source, 0)) as client:
        try:
            client.sendmail(SENDER, [ANN], MESSAGE)
        except smtplib.SMTPDataError as error:
            return f"{error.smtp_code} {error.smtp_error.decode()}"
        return "250"


def test_a_stranger_is_greylisted_listed_blocked_and_let_in(start_suite):
    suite = start_suite()
    suite.add_domain("screened.test")
    suite.add_mailbox(ANN, "a lamp on the shore")

    # No reverse DNS, and a greeting that DNS does not know: it is asked to come again.
    assert send(suite) == "451 4.7.1 Please try again in a minute (greylisted)"
    assert send(suite).startswith("451")
    assert send(suite, "127.0.0.1") == "250"
    suite.manage("shell", "-c", WAIT_IS_OVER)
    assert send(suite) == "250"
    assert send(suite) == "250"

    # A list names it: its weight is enough to refuse.
    suite.dns.records[("2.0.0.127.bl.test", "A")] = ["127.0.0.2"]
    suite.manage("shell", "-c", ADD_LIST)
    refused = send(suite)
    assert refused.startswith("550 5.7.1") and "Our own list" in refused and "(listed)" in refused

    # Who knows better writes a rule, which outranks the list.
    suite.manage("shell", "-c", ADD_RULE.format(action="allow"))
    assert send(suite) == "250"
    suite.manage("shell", "-c", "from mailsuite.screening.models import *; Rule.objects.all().delete()")
    suite.manage("shell", "-c", ADD_RULE.format(action="block"))
    assert "(block-rule)" in send(suite)
