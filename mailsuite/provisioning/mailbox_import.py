"""Many mailboxes at once, from a CSV file.

What is wrong with the file is told before anything is made. They are made some at a time, since mail and logins wait
for the same writer; an import that was broken off goes on when the file is imported again: what is there already, with
the password that its line gives, is passed over.

Blanks around a field don't count, quoted or not, the password's too: nobody sees them in the file.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from typing import TypeVar

from django.contrib.auth.hashers import check_password
from django.db import transaction

from mailsuite.access.password_rules import check_form, check_strength, hash_password
from mailsuite.directory import history, parsing
from mailsuite.directory.models import Alias, Mailbox
from mailsuite.directory.version import touch_directory
from mailsuite.errors import ChangeRefused
from mailsuite.mail.address import Address
from mailsuite.provisioning.mailboxes import write_mailbox

A = TypeVar("A")
B = TypeVar("B")
SLICE = 500
MADE_AT_ONCE = 20
# What is wrong with a whole file is mostly one thing.
MOST_TOLD = 100
# How Dovecot's files mark what is the password itself.
_CLEAR = re.compile(r"\A\{(?:PLAIN|CLEAR|CLEARTEXT)\}", re.IGNORECASE)


class ImportProblems(ChangeRefused):
    """What is wrong, a line for each line of the file. `made` mailboxes were imported before it came up."""

    def __init__(self, problems: list[str], made: int = 0) -> None:
        text = "Nothing was imported. Correct these lines and try again:"
        if made:
            text = (
                f"{made} mailboxes were imported, then these lines could not be. Correct them and import the file "
                "again: it passes over what is there."
            )
        more = [f"… and {len(problems) - MOST_TOLD} more."] if len(problems) > MOST_TOLD else []
        super().__init__("\n".join([text, *problems[:MOST_TOLD], *more]))
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
    by: str = "",
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> int:
    """Makes a mailbox for each line `address,password[,quota[,name]]`; returns how many are there then. A first line
    that begins with `address` is a heading. Raises ImportProblems. `progress` hears of passwords hashed, which is what
    takes time; `by` is who does it, for the history."""
    given = _read(lines, weak_password_ok=weak_password_ok)
    rows = _refuse_taken(given)
    hashes: list[str] = []
    for hashed in _in_threads(lambda row: hash_password(row.password, weak_password_ok=True), rows):
        hashes.append(hashed)
        progress(len(hashes), len(rows))
    made = len(given) - len(rows)
    for start in range(0, len(rows), MADE_AT_ONCE):
        some = list(zip(rows, hashes, strict=True))[start : start + MADE_AT_ONCE]
        _make(some, made, must_change=must_change, by=by)
        made += len(some)
    return made


@transaction.atomic
def _make(rows: list[tuple[Row, str]], made: int, *, must_change: bool, by: str) -> None:
    """Makes these, each given with its password's hash, or none of them; so many are there already."""
    problems, mailboxes = [], []
    for row, hashed in rows:
        try:
            mailboxes.append(
                write_mailbox(
                    row.address,
                    hashed,
                    name=row.name,
                    quota_octets=row.quota_octets,
                    owner=row.address,
                    must_change=must_change,
                )
            )
        except ChangeRefused as error:
            problems.append(f"line {row.line}: {error}")
    if problems:
        raise ImportProblems(problems, made)
    history.note_all(mailboxes, "manage.py mailbox import", by)
    touch_directory()


def _in_threads(work: Callable[[A], B], given: Sequence[A]) -> Iterator[B]:
    """What `work`, which hashes, makes of each: argon2 lets go of the GIL, so threads use all cores."""
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        yield from pool.map(work, given)


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
                raise ChangeRefused(f"{row.address} is in line {other} already.")
            rows.append(row)
        except ChangeRefused as error:
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
        raise ChangeRefused(
            f"it has {len(fields)} fields: write address,password and, if wanted, quota,name, with commas between them."
        )
    text, password, quota, name = (each.strip() for each in (*fields, "", "")[:4])
    address = parsing.address(text)
    parsing.own_domain(address.domain)
    password = _CLEAR.sub("", password)
    check_form(password)
    if not weak_password_ok:
        check_strength(password, str(address), name)
    return Row(line, address, password, parsing.quota(quota) if quota else None, parsing.label(name, "name"))


def _refuse_taken(rows: list[Row]) -> list[Row]:
    """The rows that are still to be made. Names what exists before anything is hashed; the transaction looks again."""
    problems, done = [], set[int]()
    for start in range(0, len(rows), SLICE):
        keys = {row.address.key: row for row in rows[start : start + SLICE]}
        taken = dict(Mailbox.objects.filter(address_key__in=keys).values_list("address_key", "user__password"))
        passwords = [(keys[key].password, password_hash) for key, password_hash in taken.items()]
        same = _in_threads(lambda pair: check_password(*pair), passwords)
        for key, is_done in zip(taken, same, strict=True):
            if is_done:
                done.add(keys[key].line)
            else:
                problems.append((keys[key].line, f"The mailbox {key} is there already."))
        aliases = Alias.objects.filter(address_key__in=keys).exclude(address_key__regex=r"^(postmaster|abuse)@")
        aliases = aliases.exclude(kind=Alias.Kind.FORWARD)
        problems += [
            (keys[key].line, f"{key} is an alias: remove it first with manage.py alias remove {key}")
            for key in aliases.values_list("address_key", flat=True)
        ]
    if problems:
        raise ImportProblems([f"line {line}: {text}" for line, text in sorted(problems)])
    return [row for row in rows if row.line not in done]
