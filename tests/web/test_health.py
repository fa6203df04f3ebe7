"""What a monitor hears: whether the store writes, not only whether somebody listens."""

import dataclasses
import os
import signal

import pytest
from django.conf import settings
from store_process import Service
from stored_mail import store_mail_in

from mailsuite.server.suite_state import SuiteState, write_state
from mailsuite.supervisor.probe import ask_store
from mailsuite.web import health
from mailsuite.writer import telling

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


@pytest.fixture
def service(settings, tmp_path):
    store_mail_in(settings, tmp_path / "mail")
    service = Service(tmp_path)
    service.start()
    yield service
    service.process.send_signal(signal.SIGCONT)
    service.stop()


@pytest.fixture
def configuration(tmp_path):
    (tmp_path / "run").mkdir(exist_ok=True)
    return dataclasses.replace(settings.MAILSUITE, data=tmp_path)


def test_a_stopped_store_is_red_everywhere(service, configuration, monkeypatch):
    assert health.Health().problems(configuration) == []
    assert ask_store(service.path, 20.0).ready
    service.process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(health, "ping", lambda path: telling.ping(path, 0.1))
    assert health.Health().problems(configuration) == ["the store does not answer"]
    answer = ask_store(service.path, 0.1)
    assert (answer.ready, answer.text) == (False, "no answer within 0.1 s")


def test_a_service_that_stands_still_is_named_and_asking_often_costs_nothing(service, configuration, monkeypatch):
    looks = []
    monkeypatch.setattr(health, "ping", looks.append)
    write_state(configuration.data, SuiteState(os.getpid(), {}, {"deliver": [1]}, {}, {"deliver": "stands still"}))
    found = health.Health()
    for _ in range(100):
        assert found.problems(configuration) == ["deliver stands still"]
    assert len(looks) == 1


def test_the_page_says_what_is_wrong(client, settings, configuration, monkeypatch):
    monkeypatch.setattr(health, "HEALTH", health.Health())
    settings.MAILSUITE = configuration
    answer = client.get("/health")
    assert (answer.status_code, answer.content) == (503, b"the store does not answer\n")
