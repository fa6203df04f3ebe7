"""Who somebody is, by name and password: one way for SMTP, IMAP, POP3 and the web.

In this order: an app password, found by one keyed hash; a login that this process verified minutes ago; the throttle's
word (throttle.py has its rules); argon2id, at most one per core at a time. Names that nobody has cost the same as those
that somebody has, and fail alike. A verified login is remembered under a hash keyed by this process, only as long as
the directory's version stays the same; a failure never. No transaction is open while anything is hashed.

Synchronous and safe to call from several threads; never from an event loop.
"""

import hashlib
import hmac
import os
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from django.contrib.auth.hashers import check_password, make_password

from mailsuite.access import accounts, app_password, login_log, throttle
from mailsuite.access.accounts import Account
from mailsuite.access.ban_list import BAN_LIST
from mailsuite.access.opaque_string import opaque_string
from mailsuite.access.password_hasher import LONGEST_PASSWORD, LONGEST_TYPED
from mailsuite.access.throttle import Attempt, Verdict
from mailsuite.bounded import Bounded
from mailsuite.directory.version import directory_version

REMEMBER_SECONDS = 300.0
REMEMBERED = 10_000
_PROCESS_KEY = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Authentication:
    """What came of a login. `reason` is "" for success, else one word for log and trace:

    wrong-credentials, too-many-failures, suspended, disabled, no-mailbox, not-allowed. A stranger may be told only of
    too-many-failures (temporary) apart from all others. Wait `delay_seconds` before you answer, whatever the answer.
    `credential_id` names the app password, None for the account's own.
    """

    user_id: int | None = None
    mailbox_id: int | None = None
    address: str = ""
    quota_octets: int = 0
    credential_version: int = 0
    reason: str = ""
    delay_seconds: float = 0.0
    credential_id: int | None = None

    @property
    def succeeded(self) -> bool:
        """Whether they are let in."""
        return self.reason == ""


class _Remembered:
    """Verified logins: fingerprint to (directory version, when it is forgotten)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: Bounded[bytes, tuple[int, float]] = Bounded(REMEMBERED)

    def holds(self, fingerprint: bytes, version: int) -> bool:
        with self._lock:
            known, until = self._entries.get(fingerprint) or (None, 0.0)
        return known == version and time.monotonic() < until

    def has_seen(self, fingerprint: bytes) -> bool:
        """Whether the password was right once, since when it was not changed."""
        with self._lock:
            return fingerprint in self._entries

    def add(self, fingerprint: bytes, version: int) -> None:
        with self._lock:
            self._entries.put(fingerprint, (version, time.monotonic() + REMEMBER_SECONDS))

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()


_remembered = _Remembered()
_repeats = throttle.Repeats()
_hashing = threading.BoundedSemaphore(os.cpu_count() or 1)


def authenticate(
    name: str, password: str, *, protocol: str, client_address: str, now: datetime | None = None
) -> Authentication:
    """What comes of signing in as `name` over smtp, imap, pop3 or web; writes it to the log of logins."""
    now = now or datetime.now(UTC)
    version = directory_version()
    account = accounts.find(name)
    attempt = Attempt(client_address, account.address_key if account else accounts.key_of(name))
    if BAN_LIST.check(client_address):
        return _settle(Authentication(reason="too-many-failures"), attempt, protocol, now)
    if protocol != "web" and (by_app := _by_app_password(account, password, protocol, now)):
        return _settle(by_app, attempt, protocol, now)
    fingerprint = (
        _fingerprint(password, "login", str(account.user_id), str(account.credential_version)) if account else b""
    )
    if account and _remembered.holds(fingerprint, version):
        return _settle(_admit(account, protocol), attempt, protocol, now)
    with _hashing:
        # Asked while holding a place, so that a burst of connections is counted one after the other.
        known, verdict = False, throttle.verdict(attempt, now)
        if verdict is not Verdict.FREE or BAN_LIST.is_account_banned(attempt.account):
            known = account is not None and login_log.is_known_good(account.user_id, client_address, now)
            if not known:
                _count_guess(attempt, password, now)
            if not known or (verdict is Verdict.EXHAUSTED and not _remembered.has_seen(fingerprint)):
                return _settle(Authentication(reason="too-many-failures"), attempt, protocol, now)
        right = _check(account, password)
        if not right:
            return _fail(account, attempt, password, protocol, now, slow=known)
    assert account is not None
    # Whoever guesses has no password that was right before: its owner need not be late while somebody else guesses.
    delay = throttle.SLOW_SECONDS if known and not _remembered.has_seen(fingerprint) else 0.0
    _remembered.add(fingerprint, version)
    if not known:
        login_log.try_to_write(lambda: throttle.record_success(attempt))
    return _settle(_admit(account, protocol, delay=delay), attempt, protocol, now)


def session_is_valid(authentication: Authentication) -> bool:
    """Whether a session that was opened so may go on: account, mailbox, domain and credential are as they were. Ask
    when the directory's version has changed."""
    return accounts.still_holds(
        authentication.user_id,
        authentication.mailbox_id,
        authentication.credential_version,
        authentication.credential_id,
        datetime.now(UTC),
    )


def forget_logins() -> None:
    """Forgets the logins that this process verified."""
    _remembered.clear()


def _by_app_password(account: Account | None, password: str, protocol: str, now: datetime) -> Authentication | None:
    """What an app password opens; None when it is none of this account's."""
    digests = app_password.digests(password)
    found = accounts.app_password(account.user_id, digests, now) if account and digests else None
    if account is None or found is None:
        return None
    if protocol not in found.scopes:
        return Authentication(reason="not-allowed")
    return _admit(account, protocol, credential_id=found.credential_id)


def _admit(account: Account, protocol: str, *, delay: float = 0.0, credential_id: int | None = None) -> Authentication:
    """The answer to a right password: not everybody who knows it may come in."""
    reason = account.refusal(needs_mailbox=protocol != "web")
    if reason:
        return Authentication(reason=reason, delay_seconds=delay)
    return Authentication(
        account.user_id,
        account.mailbox_id,
        account.address,
        account.quota_octets,
        account.credential_version,
        "",
        delay,
        credential_id,
    )


def _check(account: Account | None, password: str) -> bool:
    """One argon2id, whoever the name is and whatever the password."""
    # A lone surrogate, as octets that are no UTF-8 may leave behind, can't be hashed.
    sound = _is_short(password) and not any("\ud800" <= character <= "\udfff" for character in password)
    known = account.password_hash if account and sound and account.password_hash.startswith("argon2") else ""
    right = check_password(password if sound else "", known or _dummy_hash())
    return bool(known) and right


def _is_short(password: str) -> bool:
    return len(password) <= LONGEST_TYPED and len(opaque_string(password)) <= LONGEST_PASSWORD


def _fail(
    account: Account | None, attempt: Attempt, password: str, protocol: str, now: datetime, *, slow: bool
) -> Authentication:
    # A known network is not refused, so what a program there repeats for hours must not use up what it may.
    repeats = 10**9 if slow else throttle.REPEATS
    delay = throttle.DELAY_SECONDS[0]
    is_repeat = _repeats.is_repeat(_fingerprint(password, "failure", attempt.pair), now, repeats)

    def write() -> None:
        nonlocal delay
        if not is_repeat:
            delay = throttle.record_failure(attempt, now)
        login_log.record_failure(account, attempt, protocol, "wrong-credentials", now)

    if not login_log.try_to_write(write) and not is_repeat:
        delay = throttle.remember_failure(attempt, now)
    if not is_repeat and not (account and login_log.is_known_good(account.user_id, attempt.client_address, now)):
        BAN_LIST.count(attempt.client_address, "password-guessing")
    return Authentication(reason="wrong-credentials", delay_seconds=throttle.SLOW_SECONDS if slow else delay)


def _count_guess(attempt: Attempt, password: str, now: datetime) -> None:
    """A password that was refused unhashed counts against the network (rule 7), each only once: clients with an old one
    go on for hours."""
    if not _repeats.is_repeat(_fingerprint(password, "refused", attempt.pair), now, repeats=10**9):
        BAN_LIST.count(attempt.client_address, "password-guessing")


def _settle(answer: Authentication, attempt: Attempt, protocol: str, now: datetime) -> Authentication:
    """Writes to the log what needed no hashing or passed it."""
    if answer.succeeded and answer.user_id is not None:
        login_log.record_success(answer.user_id, attempt, protocol, answer.credential_id, now)
    else:
        login_log.record_refusal(attempt, protocol, answer.reason, now)
    return answer


def _fingerprint(password: str, *about: str) -> bytes:
    """Two devices that write one password in two ways give one."""
    form = opaque_string(password) if _is_short(password) else password
    text = "\0".join((*about, form)).encode("utf-8", "surrogatepass")
    return hmac.new(_PROCESS_KEY, text, hashlib.sha256).digest()


@lru_cache(maxsize=1)
def _dummy_hash() -> str:
    return make_password(secrets.token_urlsafe(16))
