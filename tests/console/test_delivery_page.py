"""The page of the live delivery test: who may start one, how many, and how its stages come."""

import threading

import pytest
from django.urls import reverse

from mailsuite.console import delivery_page
from mailsuite.console.delivery_runs import Runs, TooMany
from mailsuite.directory.models import Domain, User
from smtpd_service.probe.stage import Stage, Tone

PAGE = "/admin/delivery-test/"


async def quick(text):
    yield Stage("mx", "Mail hosts (MX)", Tone.GOOD, f"for {text} <b>", details=("MX 10 <i>",))
    yield Stage("result", "Result", Tone.WARNING, "put off", milliseconds=7)


async def broken(text):
    yield Stage("mx", "Mail hosts (MX)", Tone.GOOD, "found")
    raise ZeroDivisionError


class Held:
    """A test whose second stage waits for the test of it."""

    def __init__(self):
        self.go = threading.Event()

    async def __call__(self, text):
        yield Stage("mx", "Mail hosts (MX)", Tone.GOOD, "first")
        assert self.go.wait(20)
        yield Stage("result", "Result", Tone.GOOD, "second")


def finish(run):
    stages, is_done = run.since(10**6, 20)
    assert is_done and not stages
    return run.stages


@pytest.fixture
def boss(client, directory):
    client.force_login(User.objects.get(email="admin@localhost"))
    return client


@pytest.fixture
def runs(monkeypatch):
    runs = Runs()
    monkeypatch.setattr(delivery_page, "RUNS", runs)
    monkeypatch.setattr(delivery_page, "probe_live", lambda text, configuration, sender: quick(f"{text} by {sender}"))
    return runs


def test_from_form_to_result(boss, runs):
    assert b"Address or domain" in boss.get(PAGE).content
    answer = boss.post(PAGE, {"target": " bob@far.test "})
    assert answer.status_code == 302
    run = runs.find(answer["Location"].rstrip("/").rpartition("/")[2], User.objects.get(email="admin@localhost").pk)
    finish(run)
    page = boss.get(answer["Location"]).content.decode()
    # What hosts say is text, never markup.
    assert "for bob@far.test by postmaster@example.org &lt;b&gt;" in page and "MX 10 &lt;i&gt;" in page
    assert 'data-done="yes"' in page and "http-equiv" not in page
    more = boss.get(f"{answer['Location']}more?after=1").json()
    assert more["count"] == 2 and more["done"] and "put off" in more["html"] and "for bob" not in more["html"]


@pytest.mark.parametrize("target", ["", "no domain", "bob@", "<script>"])
def test_what_is_no_address_starts_nothing(boss, runs, target):
    answer = boss.post(PAGE, {"target": target})
    assert answer.status_code == 200 and b"neither an address nor a domain" in answer.content
    assert b"<script>&" not in answer.content and not runs._runs


def test_a_page_amid_a_test_asks_for_more(boss, runs, monkeypatch):
    held = Held()
    monkeypatch.setattr(delivery_page, "probe_live", lambda text, configuration, sender: held(text))
    url = boss.post(PAGE, {"target": "far.test"})["Location"]
    first = boss.get(f"{url}more?after=0").json()
    assert (first["count"], first["done"]) == (1, False)
    page = boss.get(url).content.decode()
    assert 'data-done="no"' in page and 'http-equiv="refresh"' in page
    held.go.set()
    assert "second" in boss.get(f"{url}more?after=1").json()["html"]


@pytest.mark.parametrize("after", ["", "-1", "x", "9" * 50, "²"])
def test_nonsense_counts_are_zero(boss, runs, after):
    url = boss.post(PAGE, {"target": "far.test"})["Location"]
    assert boss.get(f"{url}more", {"after": after}).status_code == 200


def test_for_superusers_alone(client, directory, runs):
    administrator = User.objects.create_user("boss@localhost", "correct horse battery", is_staff=True)
    administrator.administered_domains.add(Domain.objects.get(name="example.org"))
    root = User.objects.get(email="admin@localhost")
    run = runs.start("far.test", root.pk, quick)
    for user, status in ((None, 302), (administrator, 403)):
        if user:
            client.force_login(user)
        for url in (PAGE, f"{PAGE}{run.id}/", f"{PAGE}{run.id}/more"):
            assert client.get(url).status_code == status, url
        assert client.post(PAGE, {"target": "far.test"}).status_code == status
    assert len(runs._runs) == 1


def test_a_run_is_seen_by_who_started_it(boss, runs):
    other = User.objects.create_superuser("other@localhost", "correct horse battery")
    run = runs.start("far.test", other.pk, quick)
    assert boss.get(reverse("delivery-test-run", args=[run.id])).status_code == 404
    assert boss.get(reverse("delivery-test-run", args=["nonsense"])).status_code == 404


@pytest.mark.sqlite_only
def test_few_at_once_and_not_many_an_hour():
    runs, held = Runs(at_once=2, an_hour=4), Held()
    first = [runs.start("a.test", 1, held), runs.start("b.test", 1, held)]
    with pytest.raises(TooMany, match="2 tests are running"):
        runs.start("c.test", 1, quick)
    held.go.set()
    for run in first:
        finish(run)
    for _ in range(2):
        finish(runs.start("c.test", 1, quick))
    with pytest.raises(TooMany, match="4 tests within an hour"):
        runs.start("d.test", 1, quick)


@pytest.mark.sqlite_only
def test_a_fault_of_ours_ends_the_run_and_says_so():
    stages = finish(Runs().start("far.test", 1, broken))
    assert [stage.tone for stage in stages] == [Tone.GOOD, Tone.BAD] and "ZeroDivisionError" in stages[-1].text


def test_too_many_is_told_on_the_page(boss, runs, monkeypatch):
    monkeypatch.setattr(runs, "_an_hour", 0)
    assert b"Wait a while" in boss.post(PAGE, {"target": "far.test"}).content
