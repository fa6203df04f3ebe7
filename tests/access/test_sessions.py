from datetime import UTC, datetime, timedelta

from django.contrib.sessions.models import Session

from mailsuite.access.sessions import forget_ended

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def test_sessions_that_ended_are_forgotten_and_no_others(db):
    for name, ends_in in (("ended", -1), ("goes on", 1)):
        Session.objects.create(session_key=name, session_data="", expire_date=NOW + timedelta(seconds=ends_in))
    assert forget_ended(NOW) == 1
    assert [one.session_key for one in Session.objects.all()] == ["goes on"]
