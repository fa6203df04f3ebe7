"""Aggregate reports: what is built fits RFC 9990's tables and reads back; what comes in is read within limits."""

import gzip
import io
import itertools
import re
import struct
import zipfile
import zlib
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from xml.etree import ElementTree

import pytest
from dmarc_report.parser import DMARCParser

from mailsuite.mailauth import dmarc_report_reader, report_file
from mailsuite.mailauth.dmarc import POLICIES
from mailsuite.mailauth.dmarc_report import (
    DISPOSITIONS,
    DKIM_RESULTS,
    MAX_SIGNATURES,
    NAMESPACE,
    OVERRIDES,
    SPF_RESULTS,
    DkimResult,
    PolicyPublished,
    Reason,
    Record,
    ReportHead,
    SpfResult,
    build_report,
)
from mailsuite.mailauth.dmarc_report_reader import read_records, summarize
from mailsuite.mailauth.report_file import ReportError, chunks, member_count

NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
HEAD = ReportHead(
    "Example Host", "postmaster@host.example", "abc@host.example", NOW - timedelta(hours=30), NOW - timedelta(hours=6),
    PolicyPublished("example.org", "reject", "quarantine", "reject", "r", "s", "1", "n", "treewalk"),
    "https://host.example/", ("two records at _dmarc",), "Mailsuite 1",
)  # fmt: skip
RECORD = Record(
    "192.0.2.1", 7, "pass", True, False, "example.org", "bounces.example.org", "host.example",
    (Reason("other", "<we & they>"),),
    (DkimResult("example.org", "r202611", "pass", "fine"), DkimResult("esp.example", "s1", "fail")),
    (SpfResult("bounces.example.org", "softfail", "mfrom", "nearly"),),
)  # fmt: skip
BARE = Record("2001:db8::1", 1, "none", False, False, "sub.example.org")

# RFC 9990 §3.1.1: element, how often (O ? zero or one, R exactly one, * any, + at least one), in their order.
TABLES = {
    "feedback": "version? report_metadata policy_published extension? record+",
    "report_metadata": "org_name email extra_contact_info? report_id date_range error? generator?",
    "date_range": "begin end",
    "policy_published": "domain discovery_method? p sp? np? fo? adkim? aspf? testing?",
    "record": "row identifiers auth_results",
    "row": "source_ip count policy_evaluated",
    "policy_evaluated": "disposition dkim spf reason*",
    "reason": "type comment?",
    "identifiers": "header_from envelope_from? envelope_to?",
    "auth_results": "dkim* spf?",
    "auth_results/dkim": "domain selector result human_result?",
    "auth_results/spf": "domain scope? result human_result?",
}
VALUES = {
    "disposition": DISPOSITIONS, "p": POLICIES, "sp": POLICIES, "np": POLICIES, "testing": ("y", "n"),
    "discovery_method": ("psl", "treewalk"), "adkim": ("r", "s"), "aspf": ("r", "s"), "scope": ("mfrom",),
    "type": OVERRIDES, "version": ("1.0",), "policy_evaluated/dkim": ("pass", "fail"),
    "policy_evaluated/spf": ("pass", "fail"), "dkim/result": DKIM_RESULTS, "spf/result": SPF_RESULTS,
}  # fmt: skip


def flaws(element, parent=""):
    """Where the element breaks the tables."""
    name = element.tag.removeprefix(f"{{{NAMESPACE}}}")
    if name == element.tag:
        return [f"{name} is not in the namespace"]
    children = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in element]
    table = TABLES.get(f"{parent}/{name}") or (TABLES.get(name) if children else None)
    if table is None:
        allowed = VALUES.get(f"{parent}/{name}") or VALUES.get(name)
        bad = children or (allowed and element.text not in allowed)
        return [f"{parent}/{name} holds {element.text!r} {children}"] if bad else []
    found = []
    rest = list(children)
    for word in table.split():
        wanted, often = word.rstrip("?*+"), word[-1] if word[-1] in "?*+" else ""
        count = 0
        while rest[:1] == [wanted]:
            rest.pop(0)
            count += 1
        if not {"": count == 1, "?": count <= 1, "*": True, "+": count >= 1}[often]:
            found.append(f"{name} has {count} × {wanted}")
    if rest:
        found.append(f"{name} has {rest} out of order")
    return found + [flaw for child in element for flaw in flaws(child, name)]


@pytest.mark.parametrize(
    "records", [[RECORD], [BARE], [RECORD, BARE] * 20, [replace(RECORD, dkim=RECORD.dkim * MAX_SIGNATURES)]]
)
@pytest.mark.parametrize(
    "head", [HEAD, replace(HEAD, errors=(), generator="", extra_contact_info="", policy=PolicyPublished("example.org"))]
)
def test_what_is_built_fits_the_tables(head, records):
    assert flaws(ElementTree.fromstring(build_report(head, records))) == []


def test_the_tables_find_flaws():
    built = build_report(HEAD, [RECORD]).decode()
    for before, after in (
        ("<version>1.0</version>", ""), ("<p>reject</p>", "<p>refuse</p>"), ("<count>7</count>", ""),
        ("<dkim>pass</dkim>", "<dkim>neutral</dkim>"), (f' xmlns="{NAMESPACE}"', ""),
        ("<type>other</type>", "<type>forwarded</type>"),
    ):  # fmt: skip
        assert before in built
        broken = flaws(ElementTree.fromstring(built.replace(before, after)))
        assert bool(broken) is (before != "<version>1.0</version>"), (before, broken)


def test_what_is_built_reads_back():
    octets = build_report(HEAD, [RECORD, BARE])
    summary = summarize(lambda: [octets], NOW)
    assert (summary.head, summary.records, summary.messages, summary.aligned, summary.skipped) == (HEAD, 2, 8, 7, 0)
    assert list(read_records([octets])) == [RECORD, BARE]


@pytest.mark.parametrize("head", [HEAD, replace(HEAD, errors=(), generator="", extra_contact_info="")])
def test_others_read_what_is_built_as_it_was_meant(head):
    values = [
        replace(BARE, disposition=disposition, reasons=(Reason(override),), spf=(SpfResult("example.org", spf),))
        for disposition, override, spf in itertools.product(DISPOSITIONS, OVERRIDES, SPF_RESULTS)
    ]
    values += [replace(BARE, dkim=(DkimResult("example.org", "s1", result),)) for result in DKIM_RESULTS]
    read = DMARCParser.parse_bytes(build_report(head, [RECORD, BARE, *values]))
    assert read.policy_published.report_format.value == "rfc_9990"
    told, policy = read.report_metadata, read.policy_published
    assert (told.org_name, told.email, told.report_id) == (head.org_name, head.email, head.report_id)
    assert (told.date_range.begin, told.date_range.end) == (head.begins_at.timestamp(), head.ends_at.timestamp())
    assert (told.extra_contact_info or "", told.generator or "") == (head.extra_contact_info, head.generator)
    assert tuple(told.errors) == head.errors
    assert (policy.domain, policy.p.value, policy.sp.value, policy.np.value) == astuple(head.policy)[:4]
    assert (policy.adkim.value, policy.aspf.value, policy.testing.value) == ("r", "s", "n")
    assert policy.discovery_method.value == "treewalk"
    row, found = read.records[0], read.records[0].auth_results
    assert (row.source_ip, row.count, row.policy_evaluated.disposition.value) == ("192.0.2.1", 7, "pass")
    assert [(one.type.value, one.comment) for one in row.policy_evaluated.reasons] == [("other", "<we & they>")]
    assert [one.selector for one in found.dkim] == ["r202611", "s1"]
    assert [(one.domain, one.result.value) for one in found.spf] == [("bounces.example.org", "softfail")]
    assert len(read.records) == 2 + len(values)


def test_strangers_words_break_nothing():
    evil = "</domain><p>none</p>\x00\x0b\ud800]]>&lt;"
    record = replace(RECORD, envelope_from=evil, dkim=(DkimResult(evil, evil, "pass", evil),))
    octets = build_report(replace(HEAD, org_name=evil), [record])
    assert flaws(ElementTree.fromstring(octets)) == []
    assert [found.count for found in read_records([octets])] == [7]


def test_reading_is_the_same_wherever_the_chunks_are_cut():
    octets = build_report(HEAD, [RECORD, BARE])
    for at in range(0, len(octets), 7):
        assert list(read_records([octets[:at], octets[at:]])) == [RECORD, BARE]
    assert list(read_records(octets[at : at + 1] for at in range(len(octets)))) == [RECORD, BARE]


OLD = b"""<?xml version="1.0" encoding="windows-1252"?>
<feedback%s>
  <report_metadata><org_name>Caf\xe9</org_name><email>a@b.example</email><report_id> 17 </report_id>
    <date_range><begin>1795392000</begin><end>1795478399.0</end></date_range></report_metadata>
  <policy_published><domain>Example.ORG.</domain><adkim>r</adkim><p>NONE</p><pct>100</pct></policy_published>
  <record><row><source_ip> 192.0.2.9 </source_ip><count>2</count>
    <policy_evaluated><disposition>None</disposition><dkim>Pass</dkim><spf>fail</spf>
      <reason><type>forwarded</type><comment/></reason></policy_evaluated></row>
    <identifiers><header_from>Example.org</header_from></identifiers>
    <auth_results><dkim><domain>example.org</domain><result>Pass</result></dkim>
      <spf><domain>x.example</domain><scope>helo</scope><result>hardfail</result></spf></auth_results></record>
  <record><row><source_ip>nowhere</source_ip><count>2</count></row></record>
  <record><row><source_ip>192.0.2.9</source_ip><count>-1</count></row></record>
</feedback>"""


@pytest.mark.parametrize("namespace", [b"", b' xmlns="http://dmarc.org/dmarc-xml/0.1"', NAMESPACE.encode()])
def test_the_old_format_and_its_liberties(namespace):
    octets = OLD % (b' xmlns="%s"' % namespace if namespace.startswith(b"urn") else namespace)
    summary = summarize(lambda: [octets], NOW)
    assert summary.head.org_name == "Café"
    assert summary.head.policy == PolicyPublished("example.org", "none", adkim="r", pct="100")
    assert (summary.head.report_id, summary.records, summary.messages, summary.skipped) == ("17", 1, 2, 2)
    [record] = read_records([octets])
    assert (record.source_ip, record.disposition, record.dkim_aligned, record.spf_aligned) == (
        *("192.0.2.9", "none", True, False),
    )
    assert record.reasons == (Reason("forwarded"),)
    assert record.dkim == (DkimResult("example.org", "", "pass"),)
    assert record.spf == (SpfResult("x.example", "fail", "helo"),)


def test_extensions_and_prefixes_are_passed_over():
    octets = build_report(HEAD, [RECORD]).replace(
        b"</auth_results></record>",
        b'</auth_results><e:more xmlns:e="https://e.example"><row><count>9</count></row></e:more></record>',
    )
    assert list(read_records([octets])) == [RECORD]
    plain = build_report(HEAD, [RECORD]).decode().replace(f' xmlns="{NAMESPACE}"', f' xmlns:d="{NAMESPACE}"')
    prefixed = plain.replace("</", "</\0").replace("<", "<d:").replace("<d:/\0", "</d:").replace("<d:?xml", "<?xml")
    assert list(read_records([prefixed.encode()])) == [RECORD]


def built(**changes):
    return build_report(replace(HEAD, **changes), [RECORD])


def zipped(*members, method=zipfile.ZIP_DEFLATED, data=b""):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name in members or ("a.xml",):
            file.writestr(name, data or build_report(HEAD, [RECORD]))
    return out.getvalue()


def test_each_file_in_a_zip_can_be_opened_but_folders():
    data = zipped("folder/", "folder/a.xml", "__MACOSX/._a.xml", "b.xml", data=b"x")
    assert member_count(data) == 2 and member_count(b"plain") == 1
    assert [b"".join(chunks(data, number)) for number in range(2)] == [b"x", b"x"]


HEAD_TEXT = build_report(HEAD, [RECORD])
BEGIN = int(HEAD.begins_at.timestamp())
# What was changed in a good report, what it says of itself afterwards, and what is told of it.
MENDED = {
    "an ampersand": (("Example Host", "Foo & Bar"), "Foo & Bar", ["an & that stands alone"]),
    "an HTML entity": (("Example Host", "M&uuml;ller"), "Müller", []),
    "a control character": (("Example Host", "Foo\x0bBar"), "Foo Bar", ["control characters"]),
    "an address in brackets": (("Example Host", "Foo <a@b.example>"), "Foo <a@b.example>", ["a < that is no tag"]),
    "an octet that is no UTF-8": (("Example Host", "M\udcfcller"), "Müller", ["octets that are no UTF-8"]),
    "another encoding than it claims": (('"UTF-8"', '"utf-16"'), "Example Host",
                                        ["an encoding (utf-16) that it is not in"]),
    "an encoding nobody knows": (('"UTF-8"', '"none"'), "Example Host", ["an encoding (none) that it is not in"]),
    "a schema around it": (("<feedback", "<xs:schema xmlns:xs='u'>\n<feedback"), "Example Host",
                           ["a tag around the report"]),
    "another namespace": ((NAMESPACE, "http://example.org/feedback.xsd"), "Example Host", []),
    "an end tag that is none": (("</org_name>", "/org_name>"), "Example Host/org_name>", ["tags that do not match"]),
    "an end tag too many": (("</identifiers>", "</identifiers></spf>"), "Example Host", ["tags that do not match"]),
    "an end tag too few": (("</auth_results>", ""), "Example Host", ["tags that do not match"]),
    "words after it": (("</feedback>", "</feedback>\n-- \nsent by a script & more"), "Example Host", []),
    "no name": (("<org_name>Example Host</org_name>", ""), "host.example", ["no organisation's name"]),
    "an empty name": (("<org_name>Example Host<", "<org_name><"), "host.example", ["no organisation's name"]),
    "no id": (("<report_id>abc@host.example</report_id>", ""), "Example Host", ["no report id"]),
    "an empty id": (("<report_id>abc@host.example<", "<report_id><"), "Example Host", ["no report id"]),
    "no policy domain": (("<domain>example.org</domain>\n", ""), "Example Host",
                         ["no domain but that of its first record"]),
    "an end alone": ((f"<begin>{BEGIN}</begin>", ""), "Example Host", ["a period of which one end is missing"]),
    "milliseconds": ((f"<begin>{BEGIN}<", f"<begin>{BEGIN}000<"), "Example Host",
                     ["a period that is not written in seconds"]),
    "a date": ((f"<begin>{BEGIN}<", "<begin>2026-11-23T00:00:00Z<"), "Example Host",
               ["a period that is not written in seconds"]),
    "a port": ((RECORD.source_ip, f"[{RECORD.source_ip}]:25"), "Example Host", ["addresses with a port or mask"]),
}  # fmt: skip


@pytest.mark.parametrize(("change", "org_name", "mended"), MENDED.values(), ids=MENDED)
def test_a_report_with_a_mistake_is_read_and_says_what_was_mended(change, org_name, mended):
    text = HEAD_TEXT.decode()
    assert change[0] in text
    octets = text.replace(*change, 1).encode("utf-8", "surrogateescape")
    for cut in (1, 50, len(octets)):
        pieces = [octets[at : at + cut] for at in range(0, len(octets), cut)]
        summary = summarize(lambda pieces=pieces: pieces, NOW)
        assert (summary.head.org_name, summary.head.policy.domain) == (org_name, "example.org")
        assert (summary.head.begins_at, summary.head.ends_at - summary.head.begins_at > timedelta(hours=23)) == (
            *(HEAD.begins_at, True),
        )
        assert (summary.messages, list(summary.mended)) == (RECORD.count, mended)
        assert list(read_records(pieces, mends=summary.is_malformed)) == [RECORD]


SEVERAL = [replace(RECORD, source_ip=f"192.0.2.{number}", count=10**number) for number in range(1, 4)]


@pytest.mark.parametrize(
    "lost",
    [
        "</record>", "<record>", "<row>", "</row>", "</record>\n<record>", "</policy_evaluated>", "<identifiers>",
        "</identifiers>", "<auth_results>", "</auth_results>",
    ],
)  # fmt: skip
def test_a_lost_tag_loses_no_record(lost):
    text = re.sub(r"\n +", "\n", build_report(HEAD, SEVERAL).decode())
    at = text.index(lost, text.index("192.0.2.1<"))
    octets = (text[:at] + text[at + len(lost) :]).encode()
    summary = summarize(lambda: [octets], NOW)
    found = read_records([octets], mends=summary.is_malformed)
    assert [(one.source_ip, one.count) for one in found] == [(one.source_ip, one.count) for one in SEVERAL]
    assert (summary.messages, summary.skipped) == (1110, 0)
    assert summary.mended


@pytest.mark.parametrize("between", ["", "\n& a word"])
def test_an_end_too_early_loses_no_record(between):
    octets = build_report(HEAD, SEVERAL).replace(b"</record>", f"</record></feedback>{between}".encode(), 1)
    summary = summarize(lambda: [octets], NOW)
    assert (summary.messages, summary.skipped) == (1110, 0)
    assert list(summary.mended) == ["an end of the report before its last record"]


def test_of_two_reports_in_one_file_the_second_is_left_out_and_told_of():
    octets = build_report(HEAD, [RECORD]) + build_report(replace(HEAD, org_name="Another"), SEVERAL)
    summary = summarize(lambda: [octets], NOW)
    assert (summary.head.org_name, summary.messages) == ("Example Host", RECORD.count)
    assert list(summary.mended) == ["a second report, which is left out"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("<disposition>pass<", "<disposition>passed<"), "records without a known disposition, which count as none"),
        (("<disposition>pass</disposition>", ""), "records without a known disposition, which count as none"),
        (("<dkim>pass<", "<dkim>passed<"), "records without a known dkim, which count as fail"),
    ],
)
def test_a_figure_that_is_made_up_is_told(change, told):
    assert change[0] in HEAD_TEXT.decode()
    summary = summarize(lambda: [HEAD_TEXT.decode().replace(*change, 1).encode()], NOW)
    assert (summary.messages, list(summary.mended)) == (RECORD.count, [told])


def test_what_cannot_be_counted_in_a_report_is_passed_over_and_the_rest_is_not():
    octets = build_report(HEAD, [RECORD, replace(RECORD, source_ip="nowhere"), replace(RECORD, count=0)])
    summary = summarize(lambda: [octets], NOW)
    assert (summary.records, summary.skipped) == (1, 2)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("192.0.2.1:25", "192.0.2.1"), ("[192.0.2.1]", "192.0.2.1"), ("192.0.2.1/32", "192.0.2.1"),
        ("[2001:db8::1]:25", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:DB8::1%eth0", "2001:db8::1"),
        ("192.0.2.0/24", None), ("192.0.2.1:", None), ("300.0.2.1:25", None), ("", None), ("host.example", None),
    ],
)  # fmt: skip
def test_addresses_are_read_with_what_stands_around_them(written, address):
    octets = HEAD_TEXT.replace(RECORD.source_ip.encode(), written.encode())
    assert [record.source_ip for record in read_records([octets])] == ([address] if address else [])


@pytest.mark.parametrize(
    ("written", "reasons"),
    [
        ("<reason>forwarded</reason>", (Reason("forwarded"),)),
        ("<reason></reason>", ()),
        ("<reason><type/></reason>", ()),
        (
            "<reason><type>Local_Policy</type><comment>arc=pass</comment></reason>",
            (Reason("local_policy", "arc=pass"),),
        ),
    ],
)
def test_reasons_are_read_as_some_write_them(written, reasons):
    text = re.sub("<reason>.*</reason>", "", HEAD_TEXT.decode()).replace(
        "</policy_evaluated>", f"{written}</policy_evaluated>"
    )
    [record] = read_records([text.encode()])
    assert record.reasons == reasons


LATE = NOW + timedelta(days=3)
BOMB = b"<feedback>" + b" " * (report_file.MAX_OCTETS + 1)


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "no well-formed XML"),
        (b"hello", "no well-formed XML"),
        (b"<html></html>", "no DMARC report"),
        (b"<html xmlns='urn:else'><body>&nbsp;</html>", "no DMARC report"),
        (b'<feedback xmlns="urn:else"></feedback>', "no period"),
        (b"<feedback></feedback>", "no period"),
        (built()[:-20], "no well-formed XML"),
        (built(policy=PolicyPublished("")).replace(b"example.org", b""), "no domain"),
        (built(begins_at=NOW, ends_at=NOW - timedelta(1)), "no sense"),
        (built(begins_at=NOW - timedelta(40), ends_at=NOW), "no sense"),
        (built(begins_at=LATE, ends_at=LATE), "future"),
        (built(begins_at=NOW - timedelta(500), ends_at=NOW - timedelta(499)), "too old"),
        (built().replace(b"<begin>", b"<begin>99999999999999999999"), "no period"),
        (b'<?xml version="1.0" encoding="no-such-charset"?><feedback>', "can't be decoded"),
        # Entities that grow, one that reads a file, one declared elsewhere.
        (b'<!DOCTYPE f [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><feedback>&b;</feedback>', "document type"),
        (b'<!DOCTYPE f [<!ENTITY a SYSTEM "file:///etc/passwd">]><feedback>&a;</feedback>', "document type"),
        (b'<!DOCTYPE feedback SYSTEM "http://evil.example/x.dtd"><feedback/>', "document type"),
        (b"<feedback>" + b"<a>" * 100_000, "nested too deeply"),
        (b'<feedback xmlns:e="u:e">' + b"<e:a>" * 100_000, "nested too deeply"),
        (b"<feedback><!--" + b"x" * 1_000_000, "too long"),
        (b"<feedback a='" + b"x" * 1_000_000, "too long"),
        (b"<feedback>" + b"".join(b"<a%d/>" % n for n in range(2000)), "different names"),
        (b"<feedback " + b" ".join(b"a%d='1'" % n for n in range(2000)) + b">", "different names"),
        (b"<feedback " + b" ".join(b"xmlns:a%d='u:%d'" % (n, n) for n in range(2000)) + b">", "different names"),
        (gzip.compress(BOMB), "times its size"),
        (zipped(data=BOMB), "times its size"),
        (gzip.compress(built())[:-30], "cut off"),
        (gzip.compress(built())[:40] + b"\xff" * 400, "damaged"),
        (zipped()[:100], "cut off"),
        (zipped("d/"), "empty"),
        (zipped(*(f"{n}.xml" for n in range(1001)), data=b"x"), "more than 1000 entries"),
        (zipped().replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"), "encrypted"),
        (zipped(method=zipfile.ZIP_STORED).replace(b"<count>7<", b"<count>8<"), "damaged"),
        (zipped(method=zipfile.ZIP_BZIP2), "packed in a way"),
        (b"PK\x03\x04\x14\x00\x01\x00" + bytes(50), "cut off"),
        # What a lenient reading would have to do too much for.
        (b"<feedback>" + b"<" * 20_000 + b"</feedback>", "too much disorder"),
        (b"<feedback>" + b"</x>" * 20_000 + b"</feedback>", "too much disorder"),
        (b"<feedback>" + b"<begin><end>" * 20_000 + b"</feedback>", "nested too deeply"),
        (b"<feedback>&" + b"<!--" * 20_000 + b"</feedback>", "too much disorder"),
        (b"<feedback>&<a><a><a><a><a><a><a><a><a><a><a><a></feedback>", "nested too deeply"),
        (b"<feedback>&" + b" " * (5 * 1024 * 1024) + b"</feedback>", "too large to be mended"),
        (b"&<!DOCTYPE f><feedback></feedback>", "document type"),
        (b"PK\x03\x04", "cut off"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_hostile_and_broken_files_are_refused_with_a_reason(octets, words):
    with pytest.raises(ReportError, match=words):
        summarize(lambda: chunks(octets), NOW)


def test_steps_are_bounded_whatever_the_elements_are(monkeypatch):
    monkeypatch.setattr(dmarc_report_reader, "MAX_ELEMENTS", 1000)
    for octets in (b"<record/>" * 1000, b'<a xmlns="urn:else"/>' * 1000, b"<record><row>" + b"<a/>" * 1000):
        with pytest.raises(ReportError, match="more than 1,000 elements"):
            summarize(partial(iter, [b"<feedback>" + octets]), NOW)


def test_a_slow_bomb_stops_at_the_size_limit():
    """One that keeps within the ratio: noise that hardly packs."""
    block = bytes(range(256)) * 256
    packed = b"".join(_stored_gzip(block, 40))
    with pytest.raises(ReportError, match="more than 1 MB"):
        for _ in chunks(packed, max_octets=1024 * 1024):
            continue


def _stored_gzip(block, count):
    """A gzip file of stored blocks: no ratio to speak of."""
    compressor = zlib.compressobj(0, wbits=31)
    for _ in range(count):
        yield compressor.compress(block)
    yield compressor.flush()


def test_a_bomb_is_never_unpacked_beyond_its_limit():
    packed = gzip.compress(bytes(80_000_000))
    seen = 0
    with pytest.raises(ReportError):
        for chunk in chunks(packed):
            assert len(chunk) <= report_file.CHUNK_OCTETS
            seen += len(chunk)
    assert seen <= max(report_file.FREE_OCTETS, len(packed) * report_file.MAX_RATIO)


@pytest.mark.parametrize(
    "file",
    [
        built(), gzip.compress(built()), gzip.compress(built()) + bytes(100), zipped(),
        zipped(method=zipfile.ZIP_STORED), gzip.compress(built()[:700]) + gzip.compress(built()[700:]),
    ],
    ids=["plain", "gzip", "padded", "deflated", "stored", "gzip of two members"],
)  # fmt: skip
def test_each_kind_of_file_is_opened(file):
    assert b"".join(chunks(file)) == built()


@pytest.mark.parametrize("signature", [b"PK\x07\x08", b""])
def test_a_zip_whose_sizes_come_after_the_data(signature):
    """As streaming writers make it (APPNOTE 4.3.9), signature optional."""
    data, name = built(), b"a.xml"
    compressor = zlib.compressobj(9, wbits=-15)
    packed = compressor.compress(data) + compressor.flush()
    head = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 8, 8, 0, 0, 0, 0, 0, len(name), 0) + name
    sizes = struct.pack("<III", zlib.crc32(data), len(packed), len(data))
    entry = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 8, 8, 0, 0, zlib.crc32(data), len(packed), len(data), len(name),
        0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    end = struct.pack(
        "<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(entry + name), len(head + packed + signature + sizes), 0
    )
    assert b"".join(chunks(head + packed + signature + sizes + entry + name + end)) == data
    damaged = entry.replace(struct.pack("<I", zlib.crc32(data)), b"\0\0\0\0")
    with pytest.raises(ReportError, match="damaged"):
        b"".join(chunks(head + packed + signature + sizes + damaged + name + end))


def test_texts_and_lists_within_a_record_are_bounded():
    reason = b"<reason><type>other</type><comment>" + b"x" * 100_000 + b"</comment></reason>"
    dkim = b"<dkim><domain>d.example</domain><result>fail</result></dkim>"
    octets = build_report(HEAD, [BARE])
    octets = octets.replace(b"</policy_evaluated>", reason * 50 + b"</policy_evaluated>")
    octets = octets.replace(b"<auth_results>", b"<auth_results>" + dkim * 5000)
    [record] = read_records(chunks(octets))
    assert (len(record.reasons), len(record.dkim)) == (dmarc_report_reader.MAX_REASONS, MAX_SIGNATURES)
    assert len(record.reasons[0].comment) == 200
