"""From stories to rows: what DMARC made of each message, in the words of RFC 9990."""

import json

import pytest
from report_mail import ALIGNED, BROKEN, FOREIGN
from report_mail import checked as story

from mailsuite.mailauth.dmarc_report import DkimResult, Reason, SpfResult
from mailsuite.reports import tally as tally_module
from mailsuite.reports.tally import tally

pytestmark = pytest.mark.sqlite_only


def row(*stories):
    [one] = tally(stories).values()
    [found] = one.records
    return found


def said(action, reason, override=""):
    return {"whole": {"action": action, "reason": reason, "dmarc_override": override}}


TESTING = {"testing": True}


@pytest.mark.parametrize(
    ("data", "disposition", "reasons"),
    [
        (story("pass", policy="reject"), "pass", ()),
        (story("pass", policy="quarantine"), "pass", ()),
        (story("pass", policy="none"), "none", ()),
        (story("fail", policy="none"), "none", ()),
        (story("fail", policy="none", verdict=said("reject", "listed")), "none", ()),
        (story("fail", asked="reject", verdict=said("reject", "dmarc-reject")), "reject", ()),
        (story("fail", policy="quarantine", asked="quarantine", verdict=said("junk", "dmarc-quarantine")),
         "quarantine", ()),
        (story("fail", asked="reject", verdict=said("inbox", "trusted-forwarder", "trusted_forwarder")),
         "none", (Reason("trusted_forwarder", "trusted-forwarder"),)),
        (story("fail", asked="reject", verdict=said("junk", "dmarc-reject", "mailing_list")),
         "quarantine", (Reason("mailing_list", "dmarc-reject"),)),
        (story("fail", asked="reject", verdict=said("inbox", "allow-rule", "local_policy")),
         "none", (Reason("local_policy", "allow-rule"),)),
        (story("fail", asked="reject", verdict=said("inbox", "new-word", "unheard_of")),
         "none", (Reason("other", "new-word"),)),
        (story("fail", asked="quarantine", dmarc=TESTING), "quarantine", (Reason("policy_test_mode"),)),
        (story("fail", asked="reject"), "reject", ()),
    ],
)  # fmt: skip
def test_disposition_and_its_reason(data, disposition, reasons):
    found = row(data)
    assert (found.disposition, found.reasons) == (disposition, reasons)


def test_identifiers_and_results():
    found = row(story("pass", dkim=[BROKEN, FOREIGN, ALIGNED], client_address="2001:db8::1"))
    assert (found.source_ip, found.header_from, found.envelope_from, found.envelope_to) == (
        *("2001:db8::1", "example.org", "bounce.example.org", ""),
    )
    assert found.dkim == (
        DkimResult("example.org", "r1", "pass"),
        DkimResult("esp.example", "s1", "pass"),
        DkimResult("example.org", "r1", "fail", "body changed"),
    )
    assert found.spf == (SpfResult("bounce.example.org", "pass"),)
    assert (found.dkim_aligned, found.spf_aligned) == (True, True)


def test_a_null_reverse_path_is_empty():
    assert row(story("pass", mail_from="")).envelope_from == ""


def test_at_most_a_hundred_signatures_those_that_matter_first():
    found = row(story("pass", dkim=[BROKEN] * 150 + [FOREIGN] * 20 + [ALIGNED]))
    assert len(found.dkim) == 100
    assert [one.result for one in found.dkim[:22]] == ["pass"] * 21 + ["fail"]


@pytest.mark.parametrize(
    "data",
    [
        story("none"),
        story("temperror"),
        story("permerror"),
        story(record="v=DMARC1; p=none"),
        story(record=""),
        story(recipients=["dmarc-reports@here.example"]),
        story(recipients=["DMARC-Reports+x@here.example", "tls-reports@here.example"]),
        json.dumps({"listener": "SMTP"}),
        json.dumps({"authentication": {"old": "form"}}),
        "no json",
        "[]",
    ],
)
def test_what_is_not_reported(data):
    assert tally([data]) == {}


def test_a_mail_to_people_too_is_no_report():
    assert tally([story(recipients=["dmarc-reports@here.example", "ann@here.example"])])


def test_equal_messages_are_one_row_and_domains_apart():
    other = {"policy_domain": "example.net", "from_domain": "example.net"}
    found = tally([story(), story(), story("fail", asked="reject"), story(dmarc=other)])
    assert [one.count for one in found["example.org"].records] == [2, 1]
    assert found["example.net"].messages == 1


def test_the_newest_record_is_told():
    found = tally([story(), story(record="v=DMARC1; p=none; sp=reject; adkim=s; t=y; rua=mailto:r@example.org")])
    policy = found["example.org"].policy
    assert (policy.p, policy.sp, policy.adkim, policy.testing, policy.discovery_method) == (
        *("none", "reject", "s", "y", "treewalk"),
    )


def test_excluded_domains_and_names_below_them_get_none():
    assert tally([story()], ["example.org"]) == {}
    assert tally([story()], ["org"]) == {}
    assert tally([story()], ["ample.org"])


def test_a_flood_from_ever_new_addresses_is_bounded(monkeypatch):
    monkeypatch.setattr(tally_module, "MAX_ROWS", 3)
    found = tally([story(client_address=f"192.0.2.{n % 9}") for n in range(90)])["example.org"]
    assert (len(found.rows), found.messages, found.left_out) == (3, 30, 60)
