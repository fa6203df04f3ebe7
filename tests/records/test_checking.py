"""What is said of a domain's records, asked of a real name server: both sides, drift, alarms, the shell."""

import io
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from mailsuite.directory.models import Domain, User
from mailsuite.provisioning import services
from mailsuite.records import alarms, checking
from mailsuite.records.checking import begin_check, check_domain, check_due
from mailsuite.records.models import DnsCheck, Observation
from mailsuite.records.observing import forget_observations
from mailsuite.records.report_addresses import names_address
from mailsuite.records.reporting import decode, exit_status
from mailsuite.records.seen import Verdict
from mailsuite.records.setup import records_for
from mailsuite.records.stages import advance_dmarc, choose
from mailsuite.signing.models import DkimKey
from mailsuite.store.models import Message
from mailsuite.writer.storage import mail_storage

pytestmark = pytest.mark.usefixtures("same_connection")
TYPES = ("NS", "A", "AAAA", "MX", "TXT", "CNAME", "SRV", "TLSA", "CAA", "PTR", "SPF")


def verdicts(report):
    return {(one.record.type, one.record.name): one.verdict for one in report.findings}


def wrong(report):
    return {f"{one.record.type} {one.record.name}": one.sentence for one in report.findings if one.verdict != "ok"}


def test_what_is_published_as_shown_is_well_and_noted(publish, domain):
    publish()
    report = check_domain(domain)
    assert wrong(report) == {} and exit_status(report.findings) == 0
    check = DnsCheck.objects.get()
    assert (check.score, check.next_step, check.started_at) == (100, "", None)
    assert decode(check.report) == report
    assert not DkimKey.objects.filter(seen_in_dns_at=None).exists()


def test_without_any_record_all_is_missing(server, domain):
    report = check_domain(domain)
    assert {one.verdict for one in report.findings if one.record.type != "NS"} == {Verdict.MISSING}
    check = DnsCheck.objects.get()
    assert exit_status(report.findings) == 1 and check.score == 5
    assert check.next_step == "Publish MX at example.org: 10 mx.host.test."
    assert not DkimKey.objects.exclude(seen_in_dns_at=None).exists()


@pytest.mark.parametrize("trouble", ["servfail", "silent"])
def test_dns_that_does_not_answer_makes_nothing_missing(server, domain, monkeypatch, trouble):
    monkeypatch.setattr(checking, "SECONDS", 2.0)
    names = {record.name for record in records_for(domain)}
    names |= {"host.test", "no-such-name-mailsuite.example.org", "default._bimi.example.org", "mail.host.test"}
    server.records = {(name, one): trouble for name in names for one in TYPES}
    report = check_domain(domain)
    assert {one.verdict for one in report.findings} == {Verdict.UNKNOWN}
    assert exit_status(report.findings) == 2 and DnsCheck.objects.get().score is None
    assert not Observation.objects.exists()


def test_name_servers_that_fail_leave_the_public_side(server, publish, domain, monkeypatch):
    monkeypatch.setattr("mailsuite.records.authority.TRY_SECONDS", 0.2)
    publish()
    server.records["ns.example.org", "A"] = ["127.0.0.77"]
    server.records["ns.host.test", "A"] = ["127.0.0.77"]
    report = check_domain(domain)
    found = verdicts(report)
    assert found["NS", "example.org"] is Verdict.UNKNOWN and found["MX", "example.org"] is Verdict.OK
    assert exit_status(report.findings) == 2


def test_where_reports_go_is_known_by_what_was_seen(server, publish, domain):
    publish()
    check_domain(domain)
    assert names_address(domain, "dmarc", "dmarc-reports@example.org")
    assert names_address(domain, "tls", "TLS-Reports@example.org")
    assert not names_address(domain, "tls", "dmarc-reports@example.org")
    assert not names_address(domain, "dmarc", "dmarc-reports@else.example")
    server.records["_dmarc.example.org", "TXT"] = ['"v=DMARC1; p=none; rua=mailto:dmarc-reports@else.example!10m"']
    check_domain(domain)
    assert names_address(domain, "dmarc", "dmarc-reports@else.example")
    assert not names_address(domain, "dmarc", "dmarc-reports@example.org")


def test_drift_is_kept_told_once_a_day_and_forgotten_when_mended(server, publish, domain, settings):
    mail_storage().prepare()
    services.add_mailbox("boss@example.org", "correct horse battery")
    User.objects.filter(email="boss@example.org").update(is_superuser=True, is_staff=True)
    publish()
    check_domain(domain)
    first = Observation.objects.count()
    check_domain(domain)
    assert Observation.objects.count() == first
    now = timezone.now()
    assert alarms.tell_of_drift(now) == 0

    server.records["example.org", "MX"] = ["10 elsewhere.example."]
    server.records["elsewhere.example", "A"] = ["198.41.0.9"]
    report = check_domain(domain)
    assert verdicts(report)["MX", "example.org"] is Verdict.DIFFERS
    kept = list(Observation.objects.filter(type="MX", source="own").order_by("pk").values_list("verdict", "values"))
    assert kept == [("ok", '["10 mx.host.test."]'), ("differs", '["10 elsewhere.example."]')]
    check = DnsCheck.objects.get()
    assert check.worse_since and "elsewhere.example" in check.worse_text
    told = [alarms.tell_of_drift(now + timedelta(hours=hours)) for hours in (0, 1, 23, 25)]
    assert told == [1, 0, 0, 1] and Message.objects.count() == 2

    server.records["example.org", "MX"] = ["10 mx.host.test."]
    check_domain(domain)
    assert DnsCheck.objects.get().worse_since is None
    assert alarms.tell_of_drift(now + timedelta(days=5)) == 0


def test_what_we_ask_for_anew_is_no_drift(publish, domain):
    publish()
    check_domain(domain)
    advance_dmarc(domain.pk)
    advance_dmarc(domain.pk)
    report = check_domain(domain)
    assert verdicts(report)["TXT", "_dmarc.example.org"] is Verdict.DIFFERS
    assert DnsCheck.objects.get().worse_since is None


def test_a_silence_in_between_is_no_change(server, publish, domain):
    publish()
    check_domain(domain)
    count = Observation.objects.count()
    kept, server.records["example.org", "MX"] = server.records["example.org", "MX"], "servfail"
    check_domain(domain)
    assert DnsCheck.objects.get().worse_since is None
    server.records["example.org", "MX"] = kept
    check_domain(domain)
    assert Observation.objects.count() == count


def test_old_observations_go_but_for_the_latest(server, publish, domain):
    publish()
    check_domain(domain)
    server.records["example.org", "MX"] = ["10 elsewhere.example."]
    check_domain(domain)
    forget_observations(timezone.now() + timedelta(days=800))
    kept = Observation.objects.filter(type="MX", name="example.org")
    assert set(kept.values_list("source", "values")) == {(s, '["10 elsewhere.example."]') for s in ("own", "public")}


def test_the_worker_looks_when_it_is_time_and_one_at_a_time(publish, domain):
    now = timezone.now()
    assert (check_due(now), check_due(now)) == (1, 0)
    assert DnsCheck.objects.get().due_at - now < timedelta(minutes=6)
    publish()
    assert check_due(now + timedelta(minutes=7)) == 1
    assert DnsCheck.objects.get().due_at - now > timedelta(minutes=50)
    assert begin_check(domain.pk, now) and not begin_check(domain.pk, now)
    assert begin_check(domain.pk, now + timedelta(minutes=3))


def run(*arguments):
    out, status = io.StringIO(), 0
    try:
        call_command("domain", *arguments, stdout=out)
    except SystemExit as end:
        status = end.code
    return status, out.getvalue()


def test_the_shell_says_the_same_with_its_status(server, publish, domain):
    status, text = run("check", "example.org")
    assert status == 1 and "missing   MX" in text and "Next: Publish MX at example.org: 10 mx.host.test." in text
    publish()
    status, text = run("check", "example.org")
    assert status == 0 and "Score: 100 of 100" in text and "Next: nothing, all is well" in text
    server.records["example.org", "MX"] = "servfail"
    assert run("check", "example.org")[0] == 2
    server.records["example.org", "MX"] = ["10 elsewhere.example."]
    status, text = run("check", "example.org")
    assert status == 1 and "differs" in text and "now, public: 10 elsewhere.example." in text


@pytest.mark.parametrize("mode", ["receives", "parked"])
def test_a_domain_that_sends_nothing_or_is_parked_is_well_too(publish, domain, mode):
    choose(domain.pk, mode=mode)
    assert exit_status(check_domain(domain).findings) == 1
    publish()
    assert wrong(check_domain(domain)) == {}


def test_reports_that_go_to_another_hosted_domain_have_their_record_on_its_page(server, publish, domain):
    services.add_domain("sister.test", postmaster="me@remote.example", key_pairs=[])
    sister = Domain.objects.get(name="sister.test")
    server.serve("sister.test")
    publish()
    server.records["_dmarc.example.org", "TXT"] = ['"v=DMARC1; p=none; rua=mailto:dmarc-reports@sister.test"']
    consent = ("TXT", "example.org._report._dmarc.sister.test")
    assert consent not in {(one.type, one.name) for one in records_for(sister)}

    report = check_domain(domain)
    assert "Publish TXT" in wrong(report)[" ".join(consent)] and exit_status(report.findings) == 0
    [wanted] = [one for one in records_for(sister) if (one.type, one.name) == consent]
    assert wanted.value == "v=DMARC1"
    server.records[wanted.name, "TXT"] = [wanted.zone_value]
    assert verdicts(check_domain(domain))[consent] is Verdict.OK
    assert verdicts(check_domain(sister))[consent] is Verdict.OK

    # Once the reports go elsewhere, nothing is left to publish.
    server.records["_dmarc.example.org", "TXT"] = ['"v=DMARC1; p=none; rua=mailto:dmarc-reports@example.org"']
    check_domain(domain)
    assert consent not in {(one.type, one.name) for one in records_for(sister)}
