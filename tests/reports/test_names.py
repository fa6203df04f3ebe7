"""Addresses in reports get the names that DNS confirms, once; a DNS that is away is asked again."""

from report_mail import FORGED, NOW, OWN, report_mail

from mailsuite.reports.models import SourceName
from mailsuite.reports.names import look_up_names
from mailsuite.reports.reading import read_waiting
from mailsuite.resolver.answers import Answer, Status, ZoneResolver

ZONE = {
    ("1.2.0.192.in-addr.arpa", "PTR"): ["mx.example.org"],
    ("mx.example.org", "A"): ["192.0.2.1"],
    ("66.113.0.203.in-addr.arpa", "PTR"): Answer(Status.TEMPERROR),
}


def test_names_are_looked_up_once(file_report):
    file_report(report_mail(OWN, FORGED))
    read_waiting(NOW)
    assert look_up_names(NOW, lambda: ZoneResolver(ZONE)) == 1
    assert list(SourceName.objects.values_list("source_ip", "name")) == [("192.0.2.1", "mx.example.org")]
    assert look_up_names(NOW, lambda: ZoneResolver({})) == 1
    assert SourceName.objects.get(source_ip="203.0.113.66").name == ""
    assert look_up_names(NOW, lambda: 1 / 0) == 0
