"""The public suites that the field measures itself by: SPF's 203 cases, ARC's 174, Mail::DKIM's corpus, and DMARC
reports.

What we decide otherwise on purpose is listed with its reason; anything else that differs is a mistake of ours.
"""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from dkim_craft import check
from dmarc_report.exceptions import DMARCParseError
from dmarc_report.parser import DMARCParser
from dns_server import DnsServer
from public_suites import ARC, MAIL_DKIM, REPORTS, SPF, cases, spf_zone, suite_path
from zone import zone_resolver

from mailsuite.mail.header import header_end
from mailsuite.mail.parsed_header import Header
from mailsuite.mailauth.arc import find_sets, validate
from mailsuite.mailauth.dkim import BodyHashes, HeaderFields
from mailsuite.mailauth.dmarc_report_reader import read_records, summarize
from mailsuite.mailauth.report_file import ReportError, chunks, member_count
from mailsuite.mailauth.spf import SpfOutcome, check_host
from mailsuite.resolver.answers import Answer, Resolver, Status, ZoneResolver
from mailsuite.resolver.dns_resolver import DnsResolver

# RFC 7208 §7.4 itself writes an IPv6 address's nibbles in small letters.
SPF_OTHERWISE = {"v-macro-ip6"}


async def judge_spf(resolver: Resolver, test: dict[str, Any]) -> SpfOutcome:
    sender = test["mailfrom"]
    domain = sender.rpartition("@")[2] or test["helo"]
    return await check_host(
        resolver, ip=test["host"], domain=domain, sender=sender, helo=test["helo"], receiver="receiver", explain=True
    )


def agrees_with_spf(test: dict[str, Any], outcome: SpfOutcome) -> bool:
    """DEFAULT stands for a text of the checker's own, and we have none."""
    results = [test["result"]] if isinstance(test["result"], str) else test["result"]
    text = {"DEFAULT": ""}.get(test.get("explanation"), test.get("explanation", outcome.explanation))
    return outcome.result in results and outcome.explanation == text


@pytest.mark.parametrize("is_real", [False, True], ids=["zone in memory", "real DNS server"])
def test_spf(is_real):
    async def agreements(server: DnsServer) -> dict[str, bool]:
        found = {}
        for title, scenario, test in cases(SPF):
            server.records = spf_zone(scenario)
            resolver = DnsResolver(server.address) if is_real else zone_resolver(server.records)
            found[title] = agrees_with_spf(test, await judge_spf(resolver, test))
        return found

    with DnsServer() as server:
        found = asyncio.run(agreements(server))
    assert len(found) == 203
    assert {title for title, agrees in found.items() if not agrees} == SPF_OTHERWISE


ARC_OTHERWISE = {
    # The suite is older than RFC 8617, whose §5.2 step 2 says that such a chain fails; it expects no word at all.
    "cv_fail_i1_as_cv_fail": "the sealer of set 1 found the chain broken",
    "cv_fail_i2_as2_fail": "the sealer of set 2 found the chain broken",
    "cv_fail_i2_as1_fail": "the seal of set 1 says cv=fail",
    # RFC 8301 §3.1
    "ams_fields_a_sha1": "rsa-sha1",
    "as_fields_a_sha1": "rsa-sha1",
    # RFC 6376 §3.5, §5.4: h= names something, From with it.
    "ams_fields_h_empty": "no h=",
}


def test_arc():
    differing, count = {}, 0
    for title, scenario, test in cases(ARC):
        keys = {(name, "TXT"): [record.encode()] for name, record in (scenario["txt-records"] or {}).items()}
        message = re.sub("\r?\n", "\r\n", test["message"]).encode()
        end = header_end(message, 0, len(message))
        header = HeaderFields(Header.parse(message[:end]))
        sets = find_sets(header)
        hashes = BodyHashes(sets.body_users)
        hashes.update(message[end:])
        outcome = asyncio.run(validate(sets, header, hashes, ZoneResolver(keys), now=1_500_000_000))
        count += 1
        if outcome.result != test["cv"].lower():
            differing[title] = outcome.reason
    assert count == 174
    assert differing.keys() == ARC_OTHERWISE.keys()
    assert {title: part for title, part in ARC_OTHERWISE.items() if part not in differing[title]} == {}


# Most of the corpus is signed with rsa-sha1 (RFC 8301 §3.1), or by drafts that had no v=1, or by DomainKeys (RFC 4870).
OF_OLD = {"rsa-sha1 proves nothing any more (RFC 8301)", "it is of an unknown version"}
OF_OLD |= {"the signature is malformed: it has no v="}
DKIM = {
    "multiple_2.txt": ("pass", "policy", "rsa-sha1 proves nothing any more (RFC 8301)"),
    "badkey_11.txt": ("invalid", "permerror", "the key is not for SHA-256"),
    "goodkey_ed25519.txt": ("pass", "pass", ""),
    "badkey1_ed25519.txt": ("invalid", "permerror", "the Ed25519 key has 44 octets instead of 32"),
    "badkey2_ed25519.txt": ("fail", "fail", "the signature does not match the signed header fields or the key"),
    "badkey3_ed25519.txt": ("fail", "fail", "the body has been changed"),
    "badkey4_ed25519.txt": (
        "invalid",
        "permerror",
        "there is no key at 2023-05-ed25519-does-not-exist._domainkey.wander.science",
    ),
    "badkey5_ed25519.txt": ("invalid", "permerror", "the key record is malformed: part of it is no name=value"),
}


def test_dkim():
    """What the corpus calls bad does not pass, and what it calls good does, unless it is of old."""
    folder = suite_path(MAIL_DKIM)
    lines = [line.split(None, 1) for line in (folder / "FAKE_DNS.dat").read_text("latin-1").splitlines()]
    records = {line[0].lower(): line[1] for line in lines if len(line) == 2 and not line[0].startswith("#")}
    zone = {
        (name, "TXT"): Answer(Status.TEMPERROR) if text.startswith("~~") else [text.encode("latin-1")]
        for name, text in records.items()
        if text != "NXDOMAIN"
    }
    expected = re.findall(r'test_email\( "(.*?)",\s+"(\w+)"', (folder / "verifier.t").read_text())
    found = {}
    for name, word in expected:
        message = re.sub(rb"\r?\n", b"\r\n", (folder / "corpus" / name).read_bytes())
        outcomes = check(message, ZoneResolver(zone), now=1_200_000_000)
        if {outcome.reason for outcome in outcomes} - OF_OLD:
            found[name] = (word, outcomes[0].result, outcomes[0].reason)
    assert len(expected) == 79
    assert found == DKIM


# What both refuse: no report at all, or one without its period.
NO_REPORTS = {
    f"dmarc-invalid-{number}.xml{ending}[0]": "no well-formed XML" if number == 4 else "it has no period"
    for number in range(1, 5)
    for ending in ("", ".gz", ".zip")
} | {f"multiple-invalid.zip[{number}]": "it has no period" for number in range(3)}


def members(octets: bytes) -> Iterator[tuple[int, bytes]]:
    for number in range(member_count(octets)):
        yield number, b"".join(chunks(octets, number))


def test_reports():
    """Figures, domain and reporter as another reader has them; refused is what that one refuses too."""
    refused, count = {}, 0
    for path in sorted(suite_path(REPORTS).iterdir()):
        for number, report in members(path.read_bytes()):
            name = f"{path.name}[{number}]"
            try:
                theirs = DMARCParser.parse_bytes(report)
            except DMARCParseError:
                theirs = None
            try:
                ours = summarize(partial(iter, [report]), datetime(2026, 11, 30, tzinfo=UTC), timedelta(days=30_000))
            except ReportError as error:
                refused[name] = str(error)
                assert theirs is None, name
                continue
            count += 1
            assert theirs is not None, name
            assert (ours.head.org_name, ours.head.policy.domain) == (
                *(theirs.report_metadata.org_name, theirs.policy_published.domain),
            )
            assert ours.skipped == 0 and ours.mended == ()
            assert [
                (one.source_ip, one.count, one.disposition, one.dkim_aligned, one.spf_aligned)
                for one in read_records([report])
            ] == [
                (
                    *(str(one.source_ip), one.count, one.policy_evaluated.disposition.value),
                    *(result.value == "pass" for result in (one.policy_evaluated.dkim, one.policy_evaluated.spf)),
                )
                for one in theirs.records
            ]
    assert count == 21
    assert {name: words for name, words in NO_REPORTS.items() if words not in refused.get(name, "")} == {}
    assert refused.keys() == NO_REPORTS.keys()
