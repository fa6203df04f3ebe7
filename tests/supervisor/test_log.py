import logging
import re
import sys

from mailsuite.supervisor.log import LineFormatter


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
