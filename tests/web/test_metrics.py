"""What a scrape says, who may scrape, and that counting costs little and never goes back."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from django.core.management import call_command
from prometheus_client.parser import text_string_to_metric_families

from mailsuite.abuse.models import Alarm
from mailsuite.access import bans
from mailsuite.directory.models import Domain, Login, Mailbox
from mailsuite.ids import first_id
from mailsuite.jobs.models import JobRun
from mailsuite.junk.models import Lesson
from mailsuite.queue.models import DeliveryAttempt, QueuedMessage, QueuedRecipient
from mailsuite.records.models import DnsCheck
from mailsuite.server.suite_state import SuiteState, write_state
from mailsuite.store.models import Content, Usage
from mailsuite.supervisor.certificate import ensure_certificate
from mailsuite.trace.models import Event, RefusalCount, Story
from mailsuite.web.metrics import reading
from mailsuite.web.metrics.tally import HOUR, DayTally

NOON = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
PROXY, MONITOR, STRANGER = "192.0.2.10", "198.51.100.4", "203.0.113.7"


@pytest.fixture(autouse=True)
def nothing_counted_yet(monkeypatch):
    for name in ("MESSAGES", "REFUSALS", "EVENTS", "ATTEMPTS", "LOGINS"):
        monkeypatch.setattr(reading, name, DayTally(getattr(reading, name)._count))


@pytest.fixture
def noon(monkeypatch):
    monkeypatch.setattr("mailsuite.web.metrics.view.timezone.now", lambda: NOON)


def scrape(client):
    """Samples by name and labels: `name{label=value}`."""
    response = client.get("/metrics", REMOTE_ADDR="127.0.0.1")
    assert response.status_code == 200 and response["Content-Type"].startswith("text/plain; version=")
    samples = {}
    for family in text_string_to_metric_families(response.content.decode()):
        assert family.documentation and family.type in ("counter", "gauge")
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            samples[f"{sample.name.removeprefix('mailsuite_')}{{{labels}}}".replace("{}", "")] = sample.value
    return samples


def story(outcome="accepted", reason="", kind="inbound", at=NOON - timedelta(minutes=5), number=0):
    return Story.objects.create(id=first_id(at) + number, kind=kind, outcome=outcome, reason=reason, at=at)


@pytest.mark.usefixtures("ann", "noon")
def test_what_happened_today(client):
    first, now = story(), NOON - timedelta(minutes=1)
    story("refused", "unknown-recipient", number=1)
    story("deferred", "greylisted", number=2)
    story(kind="submission", at=NOON - timedelta(hours=5))
    story(at=NOON - timedelta(hours=13))
    for network in ("192.0.2.0/24", "198.51.100.0/24"):
        RefusalCount.objects.create(network=network, reason="unknown-recipient", minute=now, count=20)
    for number, (kind, reason) in enumerate([("filed", "looks-like-junk"), ("filed", ""), ("queued", "")]):
        Event.objects.create(id=first_id(now) + number, story=first, at=now, kind=kind, reason=reason)
    for number, (well, reason) in enumerate([(True, ""), (False, "wrong-credentials"), (False, "wrong-credentials")]):
        who = {"address_key": "ann@example.org", "client_address": f"192.0.2.{number}"}
        Login.objects.create(at=now, protocol="imap", succeeded=well, reason=reason, times=3, **who)
    said = scrape(client)
    assert said["messages_total{kind=inbound,outcome=accepted,reason=}"] == 1
    assert said["messages_total{kind=submission,outcome=accepted,reason=}"] == 1
    assert said["messages_total{kind=inbound,outcome=deferred,reason=greylisted}"] == 1
    assert said["refusals_total{reason=unknown-recipient}"] == 41 and said["refusals_total{reason=greylisted}"] == 1
    assert said["events_total{event=filed,reason=looks-like-junk}"] == said["events_total{event=queued,reason=}"] == 1
    assert said["logins_total{protocol=imap,result=ok}"] == 3
    assert said["logins_total{protocol=imap,result=wrong-credentials}"] == 6


def queued(created_at, held_at=None, attempts=()):
    empty = dict.fromkeys(("envelope", "body_structure", "body", "parts"), b"")
    content = Content.objects.create(
        blob=f"b{QueuedMessage.objects.count()}", size_octets=9, header_octets=1, received_at=NOON, thread_id=1, **empty
    )
    values = {"created_at": created_at, "expires_at": NOON, "held_at": held_at, "size_octets": 9}
    message = QueuedMessage.objects.create(content=content, **values)
    recipient = QueuedRecipient.objects.create(message=message, forward_path="x@far.test", destination="far.test")
    for number, outcome in enumerate(attempts):
        at = NOON - timedelta(minutes=3)
        ended_at = at if outcome else None
        DeliveryAttempt.objects.create(
            id=first_id(at) + number, recipient=recipient, started_at=at, ended_at=ended_at, outcome=outcome
        )


@pytest.mark.usefixtures("ann", "noon")
def test_what_there_is_now(client, configure, tmp_path):
    configure(data=tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "tls").mkdir()
    ensure_certificate(tmp_path / "tls" / "cert.pem", tmp_path / "tls" / "key.pem", "mx.example.org", NOON)
    write_state(tmp_path, SuiteState(1, {}, {"smtpd": [2]}, {"smtpd": 4}))
    queued(NOON - timedelta(hours=2), attempts=["delayed", "delayed", "delivered", ""])
    queued(NOON - timedelta(hours=9), held_at=NOON - timedelta(minutes=1))
    ann = Mailbox.objects.get()
    Usage.objects.filter(mailbox=ann).update(used_octets=4096, message_count=3)
    bans.ban("192.0.2.1", reason="password-guessing", ends_at=NOON + HOUR, now=NOON)
    bans.ban("192.0.2.2", reason="password-guessing", ends_at=NOON - HOUR, now=NOON - 2 * HOUR)
    Alarm.objects.create(mailbox=ann, kind="bounces", day=NOON.date(), raised_at=NOON, text="x")
    Lesson.objects.create(mailbox=ann, content_id=1, word="junk", at=NOON)
    DnsCheck.objects.update_or_create(domain=Domain.objects.get(), defaults={"score": 85})
    JobRun.objects.create(name="alarms", started_at=NOON, seconds=0.5, failures=2, error="ValueError: no")
    said = scrape(client)
    assert [said[f"queue_messages{{state={one}}}"] for one in ("waiting", "held")] == [1, 1]
    assert [said[f"queue_oldest_seconds{{state={one}}}"] for one in ("waiting", "held")] == [7200, 60]
    assert said["delivery_attempts_total{outcome=delayed}"] == 2
    assert said["delivery_attempts_total{outcome=delivered}"] == 1 and "delivery_attempts_total{outcome=}" not in said
    assert said["bans{reason=password-guessing}"] == 1 and said["bans{reason=by-hand}"] == 0
    assert said["alarms{kind=bounces}"] == 1 and said["alarms{kind=over-cap}"] == 0
    assert said["mailboxes{state=active}"] == 1 and said["mailboxes{state=suspended}"] == 0
    assert (said["stored_messages"], said["stored_bytes"]) == (3, 4096)
    assert said["domain_dns_score{domain=example.org}"] == 85
    assert said["junk_judgements{word=junk}"] == 1 and said["junk_judgements{word=wanted}"] == 0
    assert said["certificate_end_timestamp_seconds"] > NOON.timestamp()
    assert said["service_restarts_total{service=smtpd}"] == 4
    names = ("job_last_run_timestamp_seconds", "job_seconds", "job_failures")
    assert [said[f"{name}{{job=alarms}}"] for name in names] == [NOON.timestamp(), 0.5, 2]


@pytest.mark.usefixtures("directory")
def test_an_empty_host_and_what_a_scrape_costs(client, configure, tmp_path, django_assert_max_num_queries):
    configure(data=tmp_path)
    said = scrape(client)
    assert said["queue_oldest_seconds{state=waiting}"] == said["stored_bytes"] == 0
    assert not [name for name in said if name.startswith(("certificate", "service_restarts"))]
    # Hours that are over are remembered: from the second scrape on, three hours at most are counted.
    with django_assert_max_num_queries(3 * 6 + 12):
        scrape(client)


ASKED = [
    ({"REMOTE_ADDR": "127.0.0.1"}, 200),
    ({"REMOTE_ADDR": "::1"}, 200),
    ({"REMOTE_ADDR": STRANGER}, 404),
    ({"REMOTE_ADDR": ""}, 404),
    ({"REMOTE_ADDR": MONITOR}, 200),
    ({"REMOTE_ADDR": STRANGER, "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, 404),
    # The proxy that is trusted says for whom it asks.
    ({"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": MONITOR}, 200),
    ({"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": STRANGER}, 404),
    ({"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_FOR": f"127.0.0.1, {MONITOR}, {STRANGER}"}, 404),
    ({"REMOTE_ADDR": PROXY}, 404),
    # A proxy of which we know nothing, on this machine or where the monitoring is.
    ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": STRANGER}, 404),
    ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_REAL_IP": STRANGER}, 404),
    ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": f"for={STRANGER}"}, 404),
    ({"REMOTE_ADDR": MONITOR, "HTTP_VIA": "1.1 somewhere"}, 404),
]


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(("asked", "status"), ASKED)
def test_who_may_scrape(client, configure, asked, status):
    networks = {"trusted_proxies": (ip_network(PROXY),), "metrics_networks": (ip_network(f"{MONITOR}/31"),)}
    configure(production=True, hostname="mx.provider.test", **networks)
    response = client.get("/metrics", secure=True, headers={"host": "mx.provider.test"}, **asked)
    assert response.status_code == status and (b"mailsuite_" in response.content) == (status == 200)


@pytest.mark.usefixtures("directory")
def test_a_proxy_that_is_trusted_and_silent_speaks_for_nobody(client, configure):
    configure(trusted_proxies=(ip_network("127.0.0.1"),), metrics_networks=(ip_network("127.0.0.0/8"),))
    assert client.get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 404


@pytest.mark.usefixtures("directory")
def test_strangers_see_no_other_answer_than_for_what_is_not_there(client):
    for method in ("get", "post", "options"):
        ask = getattr(client, method)
        answers = [ask(path, secure=True, REMOTE_ADDR=STRANGER) for path in ("/metrics", "/nothing")]
        assert len({(one.status_code, one.content, one.get("Allow")) for one in answers}) == 1
    assert client.post("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 404


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(("address", "path", "status"), [
    ("127.0.0.1", "/metrics", 200), ("127.0.0.1", "/metrics/", 301), (MONITOR, "/metrics", 301),
])  # fmt: skip
def test_only_this_machine_asks_without_tls_in_production(client, configure, address, path, status):
    configure(production=True, hostname="mx.provider.test", metrics_networks=(ip_network(MONITOR),))
    assert client.get(path, REMOTE_ADDR=address, headers={"host": "127.0.0.1"}).status_code == status


class Rows:
    """Moments of things that happened, counted as the database would; remembers which hours were asked for."""

    def __init__(self, *moments):
        self.moments, self.asked = list(moments), []

    def __call__(self, since, until):
        self.asked.append(since.hour)
        count = sum(since <= moment < until for moment in self.moments)
        return [(("x",), count)] if count else []


def test_hours_are_counted_once_they_are_over_and_late_rows_found():
    rows = Rows(NOON - 12 * HOUR, NOON - 5 * HOUR, NOON)
    tally = DayTally(rows)
    assert tally.totals(NOON) == {("x",): 3} and rows.asked == list(range(13))
    rows.asked.clear()
    rows.moments.append(NOON - timedelta(minutes=40))
    assert tally.totals(NOON + timedelta(minutes=29)) == {("x",): 4}
    assert rows.asked == [11, 12]


def test_counts_begin_anew_at_midnight_and_never_go_back_before():
    rows = Rows(NOON, NOON)
    tally = DayTally(rows)
    assert tally.totals(NOON) == {("x",): 2}
    rows.moments.pop()
    assert tally.totals(NOON) == {("x",): 2}
    assert tally.totals(NOON + 12 * HOUR) == {}


@pytest.mark.usefixtures("directory")
def test_the_check_names_metrics_for_everybody(configure, capsys):
    configure(metrics_networks=(ip_network("0.0.0.0/0"),))
    call_command("check")
    assert "mailsuite.W008" in capsys.readouterr().err
