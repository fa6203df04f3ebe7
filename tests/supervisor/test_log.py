import logging
import re
import sys

from mailsuite.supervisor.log import MOST_CHARACTERS, LineFormatter, configure


def record(text: str, *arguments: object, exc_info=None) -> logging.LogRecord:
    return logging.LogRecord("name", logging.WARNING, "file", 1, text, arguments, exc_info)


def test_a_line_has_time_service_level_and_text():
    line = LineFormatter("smtpd", for_journal=False).format(record("refused %s", "it"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z smtpd WARNING refused it", line)


def test_the_journal_gets_a_priority_instead_of_the_time():
    assert LineFormatter("smtpd", for_journal=True).format(record("x")) == "<4>smtpd WARNING x"


def test_no_text_passes_for_a_second_record():
    line = LineFormatter("smtpd", for_journal=True).format(record("said %s", "EHLO\r\n<6>web INFO all is well\x85x"))
    assert line == "<4>smtpd WARNING said EHLO\n    <6>web INFO all is well\n    x"


def test_a_traceback_follows_indented():
    try:
        raise ValueError("broken")
    except ValueError:
        line = LineFormatter("smtpd", for_journal=True).format(record("x", exc_info=sys.exc_info()))
    assert line.startswith("<4>smtpd WARNING x\n    Traceback")
    assert line.endswith("\n    ValueError: broken")


def test_what_a_stranger_says_takes_little_room_and_steers_no_terminal():
    line = LineFormatter("web", for_journal=True).format(record("asked for %s", "\x1b]0;x\x07\x9b2J" + "a" * 100_000))
    assert line.startswith("<4>web WARNING asked for ?]0;x??2Jaaa")
    assert len(line) < MOST_CHARACTERS + 100
    assert line.endswith(" characters more)")


def test_requests_that_are_none_of_ours_have_no_lines_and_faults_have(capsys):
    root, packages = logging.getLogger(), ("mailsuite", "smtpd_service", "retrieval")
    names = ("django.request", "django.security.csrf", "django.security.DisallowedHost", "gunicorn.error")
    before = [(one, one.level) for one in (root, *map(logging.getLogger, (*packages, *names, "django.security")))]
    handlers = list(root.handlers)
    try:
        configure("web")
        for name in names:
            logging.getLogger(name).warning("a stranger's of %s", name)
            logging.getLogger(name).error("a fault of %s", name)
    finally:
        root.handlers[:] = handlers
        for logger, level in before:
            logger.setLevel(level)
    said = capsys.readouterr().err
    assert "a stranger's" not in said
    assert all(f"a fault of {name}" in said for name in names)
