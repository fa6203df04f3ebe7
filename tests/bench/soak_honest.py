"""The honest clients of the soak: what people, other hosts and monitors do, each kind once a second from an address of
its own, with the standard library's clients. Prints how long each kind took, and what failed."""

import http.client
import imaplib
import json
import poplib
import smtplib
import ssl
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from soak_places import DOMAIN, HONEST_MAILBOXES, PASSWORD, SERVER, honest_addresses

PAUSE_SECONDS = 1.0
GIVE_UP_SECONDS = 30.0
SLOW_SECONDS = 1.0
MESSAGE = (
    "From: Ann <ann@remote.test>\r\nTo: {to}\r\nSubject: number {n}\r\nMessage-ID: <{n}.{to}>\r\n"
    "Date: Mon, 30 Nov 2026 10:00:00 +0000\r\n\r\n" + "A line of the body.\r\n" * 150
)
Places = dict[str, int]


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


TLS = trusting()


class Imap(imaplib.IMAP4_SSL):
    """imaplib takes no source address."""

    def __init__(self, port: int, source: str) -> None:
        self._source = source
        super().__init__(SERVER, port, ssl_context=TLS, timeout=GIVE_UP_SECONDS)

    def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
        import socket

        plain = socket.create_connection((self.host, self.port), timeout, source_address=(self._source, 0))
        return TLS.wrap_socket(plain)


class Pop3(poplib.POP3_SSL):
    source = ""

    def _create_socket(self, timeout: float) -> ssl.SSLSocket:
        import socket

        plain = socket.create_connection((self.host, self.port), timeout, source_address=(self.source, 0))
        return TLS.wrap_socket(plain)


def receive(places: Places, source: str, number: int) -> None:
    """Another host delivers."""
    to = HONEST_MAILBOXES[number % len(HONEST_MAILBOXES)]
    address = (source, 0)
    with smtplib.SMTP(SERVER, places["smtp"], "far.remote.test", GIVE_UP_SECONDS, source_address=address) as client:
        client.sendmail("ann@remote.test", [to], MESSAGE.format(to=to, n=number))


def submit(places: Places, source: str, number: int) -> None:
    """Somebody sends to a colleague."""
    user, to = HONEST_MAILBOXES[0], HONEST_MAILBOXES[1]
    with smtplib.SMTP_SSL(
        SERVER, places["submissions"], "laptop", timeout=GIVE_UP_SECONDS, source_address=(source, 0), context=TLS
    ) as client:
        client.login(user, PASSWORD)
        client.sendmail(user, [to], MESSAGE.format(to=to, n=f"s{number}").replace("ann@remote.test", user))


def sign_in_imap(places: Places, source: str, number: int) -> None:
    """A phone looks for new mail."""
    client = Imap(places["imaps"], source)
    client.login(HONEST_MAILBOXES[number % len(HONEST_MAILBOXES)], PASSWORD)
    client.select("INBOX")
    client.uid("SEARCH", "UNSEEN")
    client.logout()


class StayingImap:
    """A program that stays signed in, and does something now and then."""

    def __init__(self) -> None:
        self._client: Imap | None = None

    def __call__(self, places: Places, source: str, number: int) -> None:
        if self._client is None:
            client = Imap(places["imaps"], source)
            client.login(HONEST_MAILBOXES[2], PASSWORD)
            client.select("INBOX")
            self._client = client
        try:
            self._client.noop()
            self._client.uid("FETCH", "*", "(FLAGS RFC822.SIZE BODY.PEEK[])")
        except Exception:
            self._client = None
            raise


def sign_in_pop3(places: Places, source: str, number: int) -> None:
    Pop3.source = source
    client = Pop3(SERVER, places["pop3s"], timeout=GIVE_UP_SECONDS, context=TLS)
    client.user(HONEST_MAILBOXES[3])
    client.pass_(PASSWORD)
    client.stat()
    client.quit()


def get(path: str, host: str = "localhost", *, tls: bool = False) -> Callable[[Places, str, int], None]:
    def ask(places: Places, source: str, number: int) -> None:
        options = {"timeout": GIVE_UP_SECONDS, "source_address": (source, 0)}
        if tls:
            client = http.client.HTTPSConnection(SERVER, places["https"], context=TLS, **options)
        else:
            client = http.client.HTTPConnection(SERVER, places["http"], **options)
        client.request("GET", path, headers={"Host": host, "Connection": "close"})
        answer = client.getresponse()
        answer.read()
        client.close()
        if answer.status >= 400:
            raise ValueError(f"status {answer.status}")

    return ask


KINDS: dict[str, Callable[[Places, str, int], None]] = {
    "message received": receive,
    "message submitted": submit,
    "IMAP from sign-in to logout": sign_in_imap,
    "IMAP NOOP and FETCH, staying": StayingImap(),
    "POP3 from sign-in to quit": sign_in_pop3,
    "GET /health": get("/health"),
    "GET sign-in page, HTTPS": get("/admin/login/", tls=True),
    "GET autoconfig": get(f"/mail/config-v1.1.xml?emailaddress=a@{DOMAIN}", f"autoconfig.{DOMAIN}"),
}


@dataclass
class Record:
    """What one kind of client saw. `slow_at` are seconds since the beginning."""

    took: list[float] = field(default_factory=list)
    slow_at: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def go_on(kind: Callable[..., None], places: Places, source: str, seconds: int, record: Record) -> None:
    start, number = time.monotonic(), 0
    while (began := time.monotonic()) < start + seconds:
        number += 1
        try:
            kind(places, source, number)
        except Exception as error:
            record.failed.append(f"{type(error).__name__}: {error}"[:90])
        record.took.append(time.monotonic() - began)
        if record.took[-1] > SLOW_SECONDS:
            record.slow_at.append(int(began - start))
        time.sleep(PAUSE_SECONDS)


def main() -> None:
    places, seconds = json.loads(sys.argv[1]), int(sys.argv[2])
    running = []
    for (name, kind), source in zip(KINDS.items(), honest_addresses(), strict=False):
        record = Record()
        thread = threading.Thread(target=go_on, args=(kind, places, source, seconds, record))
        thread.start()
        running.append((name, thread, record))
    print(f"{'':32}{'times':>7}{'median':>9}{'99 %':>9}{'longest':>9}{'over 1 s':>9}{'failed':>8}")
    for name, thread, record in running:
        thread.join()
        took = sorted(record.took)
        late = took[int(len(took) * 0.99)]
        print(
            f"{name:32}{len(took):7}{statistics.median(took):9.3f}{late:9.3f}{took[-1]:9.3f}{len(record.slow_at):9}"
            f"{len(record.failed):8}  {record.failed[0] if record.failed else ''}"
        )
        if record.slow_at:
            print(f"{'':32}over 1 s at second {', '.join(map(str, record.slow_at[:30]))}")


if __name__ == "__main__":
    main()
