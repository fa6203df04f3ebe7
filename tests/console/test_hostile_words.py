"""What strangers write (subjects, names, replies, DNS answers, reports) stays text on every page of the admin: it opens
no element, reaches no script, and no attribute that the theme evaluates."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import quote

import msgspec
import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import CharField, TextField
from django.urls import reverse

from mailsuite.access.models import Ban
from mailsuite.authcheck.report import ArcCheck, ArcSealer, AuthReport, DkimCheck, IprevCheck, Question, SpfCheck
from mailsuite.directory.models import Domain
from mailsuite.mailauth.dmarc import DmarcOutcome
from mailsuite.records.models import DnsCheck, Observation
from mailsuite.records.planning import records_of
from mailsuite.records.reporting import Report, encode
from mailsuite.records.seen import Finding, Side
from mailsuite.records.seen import Verdict as Found
from mailsuite.records.setup import read_setup
from mailsuite.reports.models import DmarcReport, FailureReport, TlsFailure, TlsPolicy, TlsReport
from mailsuite.store.models import Content
from mailsuite.trace.models import RefusalCount, Story

NOW = datetime.now(UTC)
MARK = "x-evil"
# Short, since some columns are; ends an attribute of either kind and, in an evaluated one, a string.
WORDS = f"\"'`-{MARK}()-<{MARK} onclick=1>"
# Columns that no stranger writes, or that hold what is parsed; those with JSON are filled below.
LEFT_ALONE = {
    *("password", "digest", "private_key", "public_key", "token", "claim_token", "blob", "row_token"),
    *("Domain.name", "Content.message_id", "Story.message_id", "Story.data", "DnsCheck.report", "Observation.values"),
    *(
        "source_ip",
        "sending_ip",
        "receiving_ip",
        "network",
        "Ban.subject",
        "rua",
        "KnownPolicy.policy",
        "policy_domain",
    ),
    *("dsn_notify", "DmarcDay.source", "DmarcRecord.source", "AlarmSettings.recipients"),
}


class Page(HTMLParser):
    """Gathers where hostile words are more than text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self._script = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._script = tag if tag in ("script", "style") else ""
        if tag == MARK:
            self.found.append(f"an element after {self.getpos()}")
        for name, value in attributes:
            evaluated = name.startswith(("x-", ":", "@", "on", "hx-on", "style", "srcdoc"))
            is_script = name in ("href", "src", "action", "formaction") and re.match(
                r"\s*(javascript|data):", value or ""
            )
            if (evaluated and MARK in (value or "")) or is_script:
                self.found.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag):
        self._script = ""

    def handle_data(self, text):
        if self._script and MARK in text:
            self.found.append(f"within {self._script}: {text[:200]}")


@pytest.fixture
def hostile(everything, domains):
    """A row of each kind, with hostile words in every column that can hold them."""
    mine = Domain.objects.get(name="mine.example")
    report, tls = DmarcReport.objects.first(), TlsReport.objects.first()
    FailureReport.objects.create(domain=mine, incoming=report.incoming, arrived_at=NOW, **{"source_ip": "192.0.2.1"})
    TlsFailure.objects.create(policy=TlsPolicy.objects.create(report=tls), count=1)
    Observation.objects.create(domain=mine, name="x", type="TXT", source="own", values=json.dumps([WORDS]), at=NOW)
    Ban.objects.create(kind="network", subject="192.0.2.0/24", started_at=NOW, ends_at=NOW)
    RefusalCount.objects.create(network="192.0.2.0/24", minute=NOW.replace(second=0, microsecond=0), count=1)
    DnsCheck.objects.create(domain=mine, finished_at=NOW, score=10, worse_since=NOW, report=looked(mine))
    for model in apps.get_models():
        if model.__module__.startswith("mailsuite."):
            fill(model)
    Content.objects.update(header=f"Subject: {WORDS}\r\n".encode())
    Story.objects.update(data=json.dumps(found_out()))
    return mine


def fill(model):
    for field in model._meta.concrete_fields:
        names = {field.name, f"{model.__name__}.{field.name}"}
        is_text = isinstance(field, CharField | TextField) and not field.choices and not names & LEFT_ALONE
        if is_text and (field.max_length or 500) >= len(WORDS) + 20:
            for row in model._default_manager.all():
                model._default_manager.filter(pk=row.pk).update(**{field.name: f"{WORDS}{row.pk}"})


def found_out():
    """What a story keeps of the checks and the verdict."""
    report = AuthReport(
        "192.0.2.9", WORDS, WORDS, WORDS, NOW, IprevCheck("fail", WORDS, WORDS, (WORDS,)),
        SpfCheck("mailfrom", WORDS, "fail", WORDS, WORDS, WORDS), SpfCheck("helo", WORDS, "fail", WORDS),
        DmarcOutcome("fail", WORDS, WORDS, record=WORDS, reason=WORDS),
        ArcCheck("pass", WORDS, (ArcSealer(1, WORDS, WORDS),), WORDS, (WORDS,)),
        dkim=(DkimCheck("fail", WORDS, WORDS, WORDS, WORDS, WORDS),),
        dns=(Question(WORDS, "TXT", "ok", (WORDS,)),), from_problem=WORDS,
    )  # fmt: skip
    verdict = {"action": "junk", "reason": "content", "text": WORDS, "details": [WORDS]}
    facts = {name: WORDS for name in ("listener", "helo", "tls", "user", "signed_by", "reply", "other")}
    authentication = json.loads(msgspec.json.encode(report))
    judgement = {"whole": verdict, "mailboxes": [{"address": WORDS, "verdict": verdict}]}
    return facts | {"authentication": authentication, "verdict": judgement, "recipients": [WORDS]}


def looked(domain):
    """What a look at DNS has found, were every value of others hostile."""
    side = Side("ok", (WORDS,), 300, Found.DIFFERS)
    records = records_of(read_setup(domain, "default"))
    return encode(Report(tuple(Finding(record, Found.DIFFERS, WORDS, side, side) for record in records)))


def pages(domain):
    """Every list, and of each kind the pages of one row."""
    yield reverse("admin:index")
    yield reverse("admin:trace_story_changelist") + f"?q={quote(WORDS)}"
    yield reverse("admin:directory_domain_records", args=[domain.pk])
    yield reverse("admin:directory_domain_records", args=[domain.pk]) + "?tab=history"
    yield reverse("admin:reports_overview")
    yield reverse("admin:reports_domain", args=[domain.pk])
    yield reverse("admin:reports_source", args=[domain.pk]) + f"?name=shop.{domain}"
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        if row := model.objects.first():
            yield reverse(f"{name}_change", args=[row.pk])
            yield reverse(f"{name}_delete", args=[row.pk])


@pytest.mark.sqlite_only
def test_hostile_words_are_text_on_every_page(as_superuser, hostile):
    shown = set()
    for url in pages(hostile):
        response = as_superuser.get(url)
        assert response.status_code in (200, 302, 403), url
        text = response.content.decode()
        assert Page(text).found == [], url
        if MARK in text:
            shown.add(url.split("/")[2])
    # Or the test would have shown nothing.
    assert {"trace", "queue", "directory", "reports", "screening", "junk", "abuse", "transport_security"} <= shown


def test_the_test_knows_what_is_more_than_text():
    text = f"<b title='{MARK}'>{MARK}</b>"
    assert Page(text).found == []
    for bad in (
        f"<{MARK}>",
        f"<b x-data='{MARK}'>",
        f"<script>{MARK}</script>",
        "<a href='javascript:1'>",
        f"<b @click='{MARK}'>",
    ):
        assert len(Page(bad).found) == 1, bad
