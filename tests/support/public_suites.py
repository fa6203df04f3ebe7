"""The field's public test suites, which are others' work and no part of this tree: .ci/suites fetches them.

A case here is (name, its scenario, its test), the two as the YAML has them.
"""

import os
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ORACLES = Path(__file__).resolve().parent.parent.parent / ".oracles"
SPF = "pyspf-2.0.14/test/rfc7208-tests.yml"
MAIL_DKIM = "Mail-DKIM-1.20240923/t"
ARC = f"{MAIL_DKIM}/arc_test_suite/arc-draft-validation-tests.yml"
REPORTS = "dmarc_report-3.1.0/tests/reports"
RECORD_TYPES = ("TXT", "A", "AAAA", "MX", "PTR")


def suite_path(name: str) -> Path:
    """Where a suite's file or folder is. Without it the test is skipped, and fails in CI."""
    found = ORACLES / name
    if not found.exists():
        text = f"needs {name} in .oracles (.ci/suites fetches it)"
        pytest.fail(text) if os.environ.get("TESTS_SKIP_NOTHING") else pytest.skip(text)
    return found


def cases(name: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for scenario in yaml.load_all(suite_path(name).read_bytes(), _Loader):  # noqa: S506: a safe loader
        for title, test in scenario["tests"].items():
            yield title, scenario, test


def spf_zone(scenario: dict[str, Any]) -> dict[tuple[str, str], list[str] | str]:
    """The scenario's zone as a DnsServer's records. What times out there is a failure here, which takes no time.

    A record of type SPF, which RFC 7208 §3.1 has done away with, stands for a TXT record where there is none.
    """
    zone: dict[tuple[str, str], list[str] | str] = {}
    for name, records in scenario["zonedata"].items():
        zone |= {(name.lower(), rdtype): found for rdtype, found in _owned(records).items()}
    return zone


def _owned(records: list[Any]) -> dict[str, list[str] | str]:
    pairs = [pair for record in records if isinstance(record, dict) for pair in record.items()]
    has_txt = any(rdtype == "TXT" for rdtype, _ in pairs)
    found: dict[str, list[str] | str] = {}
    for rdtype, value in pairs:
        if value == "TIMEOUT":
            found[rdtype] = "servfail"
        elif value != "NONE" and not (rdtype == "SPF" and has_txt):
            texts = found.setdefault("TXT" if rdtype == "SPF" else rdtype, [])
            assert isinstance(texts, list)
            texts.append(_record_text(rdtype, value))
    if "TIMEOUT" in records:
        found = dict.fromkeys(RECORD_TYPES, "servfail") | found
    return found or {"NS": ["ns.test."]}  # the name is there, with nothing of use


def _record_text(rdtype: str, value: Any) -> str:
    match rdtype:
        case "TXT" | "SPF":
            strings = [value] if isinstance(value, str) else value or [""]
            return " ".join(f'"{_escaped(string)}"' for string in strings)
        case "MX":
            return f"{value[0]} {value[1].rstrip('.')}."
        case "PTR" | "CNAME":
            return f"{value.rstrip('.')}."
    return str(value)


def _escaped(string: str) -> str:
    """As it stands in a zone file's quotes; longer strings than DNS has are cut into two."""
    octets = [chr(octet) if chr(octet).isalnum() and octet < 128 else f"\\{octet:03}" for octet in string.encode()]
    return '" "'.join("".join(octets[at : at + 255]) for at in range(0, max(len(octets), 1), 255))


class _Loader(yaml.CSafeLoader):
    """Keeps every test where two have one name, as YAML's mappings do not."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    found: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        key = f"{key} again" if key in found else key
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
