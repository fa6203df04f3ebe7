"""What `up` tells at the first start: words that can be typed as they stand."""

from dataclasses import replace

import pytest
from django.conf import settings

from mailsuite.supervisor import welcome
from mailsuite.supervisor.prepare import Prepared

FIRST = Prepared(administrator="admin@mx.example.org", password="a-password")
ADDRESSES = {
    name: [("127.0.0.1", port)]
    for name, port in {"SMTP": 1025, "SUBMISSION": 1587, "SUBMISSIONS": 1465, "IMAPS": 1993, "HTTP": 8000}.items()
}


def said(prepared=FIRST, *, production=False, at_terminal=True):
    configuration = replace(settings.MAILSUITE, production=production, hostname="mx.example.org", tls_cert=None)
    return welcome.text(configuration, prepared, ADDRESSES, at_terminal=at_terminal)


def test_a_trial_names_every_port_that_its_reader_needs():
    text = said()
    assert "IMAP  127.0.0.1 port 1993 TLS" in text and "SMTP  127.0.0.1 port 1465 TLS" in text
    assert "Mail from other hosts comes in at 127.0.0.1 port 1025" in text
    assert "    python3 manage.py domain add example.org\n" in text and "each program asks once" in text


def test_an_installed_host_is_told_its_own_command():
    text = said(production=True)
    assert "    mailsuite domain add example.org\n" in text and "mailsuite changepassword admin@mx" in text
    assert "python3" not in text and "Mail from other hosts" not in text


@pytest.mark.parametrize("production", [False, True])
def test_later_starts_are_one_line(production):
    text = said(Prepared(), production=production)
    assert text.startswith("Mailsuite is up. Admin: http") and "\n" not in text


def test_ctrl_c_is_for_terminals():
    assert "Ctrl-C" in said() and "Ctrl-C" not in said(at_terminal=False)
