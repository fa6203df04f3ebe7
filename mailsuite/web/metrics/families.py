"""The metric families of one scrape, in the client library's values. Reasons are the words of replies and stories."""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from mailsuite.web.metrics import reading
from mailsuite.web.metrics.tally import Key

_TODAY = " since midnight UTC, when it begins anew."


class Scrape:
    """What prometheus_client writes out: the moment's figures, read as they are asked for."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._queue()
        yield from self._abuse()
        yield from self._directory()
        yield from self._host()

    def _counters(self) -> Iterator[Metric]:
        for name, words, labels, tally in (
            ("messages", "Messages received, submitted or made here,", "kind outcome reason", reading.MESSAGES),
            ("refusals", "What was refused or put off,", "reason", reading.REFUSALS),
            ("events", "What befell messages, by recipient,", "event reason", reading.EVENTS),
            ("delivery_attempts", "Attempts at recipients elsewhere that have ended,", "outcome", reading.ATTEMPTS),
            ("logins", "Logins; the result is ok or why not,", "protocol result", reading.LOGINS),
        ):
            yield _counter(name, words + _TODAY, labels, tally.totals(self._now))

    def _queue(self) -> Iterator[Metric]:
        states = reading.queue(self._now)
        counts = {state: count for state, (count, _) in states.items()}
        ages = {state: age for state, (_, age) in states.items()}
        yield _gauge("queue_messages", "Messages in the queue.", "state", counts)
        yield _gauge("queue_oldest_seconds", "For how long the oldest has waited, or was held.", "state", ages)

    def _abuse(self) -> Iterator[Metric]:
        yield _gauge("bans", "Bans in force.", "reason", reading.bans(self._now))
        yield _gauge("alarms", "Alarms that nobody has dismissed.", "kind", reading.alarms(self._now))
        words = reading.judgements(self._now)
        yield _gauge("junk_judgements", "Messages that owners called junk or wanted today (UTC).", "word", words)

    def _directory(self) -> Iterator[Metric]:
        messages, octets = reading.stored()
        yield _gauge("mailboxes", "Mailboxes.", "state", reading.mailboxes())
        yield GaugeMetricFamily("mailsuite_stored_messages", "Messages in all mailboxes.", messages)
        yield GaugeMetricFamily("mailsuite_stored_bytes", "Octets in all mailboxes.", octets)
        yield _gauge(
            "domain_dns_score", "How well a domain's records are, of 100.", "domain", dict(reading.dns_scores())
        )

    def _host(self) -> Iterator[Metric]:
        if ends_at := reading.certificate_ends_at():
            name, words = "mailsuite_certificate_end_timestamp_seconds", "When the certificate ends."
            yield GaugeMetricFamily(name, words, ends_at.timestamp())
        restarts: dict[Key, int] = {(service,): count for service, count in reading.restarts().items()}
        yield _counter("service_restarts", "Services started again after they ended unasked.", "service", restarts)
        jobs = reading.jobs()
        for place, name, words in (
            (0, "job_last_run_timestamp_seconds", "When a job was begun last."),
            (1, "job_seconds", "How long its last run took."),
            (2, "job_failures", "How often it has failed since it last worked."),
        ):
            yield _gauge(name, words, "job", {job: values[place] for job, values in jobs.items()})


def _counter(name: str, words: str, labels: str, values: dict[Key, int]) -> Metric:
    family = CounterMetricFamily(f"mailsuite_{name}", words, labels=labels.split())
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _gauge(name: str, words: str, label: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"mailsuite_{name}", words, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
