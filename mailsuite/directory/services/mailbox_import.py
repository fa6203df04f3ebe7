"""Many mailboxes at once, from a CSV file: all of them or none."""

import csv
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

from django.db import transaction

from mailsuite.directory.errors import DirectoryError
from mailsuite.directory.models import Alias, Mailbox
from mailsuite.directory.services import parsing
from mailsuite.directory.services.mailboxes import write_mailbox
from mailsuite.directory.services.passwords import check_strength, hash_password
from mailsuite.directory.version import touch_directory
from mailsuite.mail.address import Address

SLICE = 500


class ImportProblems(DirectoryError):
    """What is wrong, a line for each line of the file."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("Nothing was imported. Correct these lines and try again:\n" + "\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Row:
    line: int
    address: Address
    password: str
    quota_octets: int | None
    name: str


def import_mailboxes(
    lines: Iterable[str],
    *,
    weak_password_ok: bool = False,
    must_change: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> int:
    """Makes a mailbox for each line `address,password[,quota[,name]]`; returns how many. A first line that begins with
    `address` is a heading. Raises ImportProblems. `progress` hears of passwords hashed, which is what takes time."""
    rows = _read(lines, weak_password_ok=weak_password_ok)
    _refuse_taken(rows)
    hashes: list[str] = []
    # argon2 lets go of the GIL: threads use all cores.
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        for hashed in pool.map(lambda row: hash_password(row.password, weak_password_ok=True), rows):
            hashes.append(hashed)
            progress(len(hashes), len(rows))
    problems = []
    with transaction.atomic():
        for row, hashed in zip(rows, hashes, strict=True):
            try:
                write_mailbox(
                    row.address,
                    hashed,
                    name=row.name,
                    quota_octets=row.quota_octets,
                    owner=row.address,
                    must_change=must_change,
                )
            except DirectoryError as error:
                problems.append(f"line {row.line}: {error}")
        if problems:
            raise ImportProblems(problems)
        touch_directory()
    return len(rows)


def _read(lines: Iterable[str], *, weak_password_ok: bool) -> list[Row]:
    rows: list[Row] = []
    problems: list[str] = []
    first_line: dict[str, int] = {}
    for line, fields in _records(lines, problems):
        if not any(fields) or (line == 1 and fields[0].strip().lower() == "address"):
            continue
        try:
            row = _row(line, fields, weak_password_ok=weak_password_ok)
            other = first_line.setdefault(row.address.key, row.line)
            if other != row.line:
                raise DirectoryError(f"{row.address} is in line {other} already.")
            rows.append(row)
        except DirectoryError as error:
            problems.append(f"line {line}: {error}")
    if problems:
        raise ImportProblems(problems)
    return rows


def _records(lines: Iterable[str], problems: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line, with its number. A quotation mark that nothing closes would make one password of the
    lines that follow: it is a problem, and the end."""
    line = 1
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    try:
        for fields in reader:
            if any("\n" in field for field in fields):
                raise csv.Error("the field goes on in the next line")
            yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(
            f'line {line}: a field that begins with " must end with it before a comma or in the same line, and have "" '
            f"for each further one ({error})."
        )


def _row(line: int, fields: list[str], *, weak_password_ok: bool) -> Row:
    if not 2 <= len(fields) <= 4:
        raise DirectoryError(f"it has {len(fields)} fields: write address,password and, if wanted, quota,name.")
    text, password, quota, name = (*fields, "", "")[:4]
    address = parsing.address(text)
    parsing.own_domain(address.domain)
    if not password:
        raise DirectoryError("the password is empty.")
    if not weak_password_ok:
        check_strength(password, str(address), name)
    return Row(line, address, password, parsing.quota(quota) if quota.strip() else None, name.strip())


def _refuse_taken(rows: list[Row]) -> None:
    """Names what exists before anything is hashed; the transaction looks again."""
    problems = []
    for start in range(0, len(rows), SLICE):
        keys = {row.address.key: row for row in rows[start : start + SLICE]}
        taken = set(Mailbox.objects.filter(address_key__in=keys).values_list("address_key", flat=True))
        problems += [(keys[key].line, f"The mailbox {key} is there already.") for key in taken]
        aliases = Alias.objects.filter(address_key__in=keys).exclude(address_key__regex=r"^(postmaster|abuse)@")
        aliases = aliases.exclude(kind=Alias.Kind.FORWARD)
        problems += [
            (keys[key].line, f"{key} is an alias: remove it first with manage.py alias remove {key}")
            for key in aliases.values_list("address_key", flat=True)
        ]
    if problems:
        raise ImportProblems([f"line {line}: {text}" for line, text in sorted(problems)])
