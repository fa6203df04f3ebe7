"""A scriptable SMTP server on a real socket, in a thread for each connection, for tests of the outbound client.

`behaviour` changes what it does; `messages` gathers what it took, `commands` what it was told, `connections` counts.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Message:
    sender: str
    recipients: list[str]
    data: bytes
    tls: bool


@dataclass
class Behaviour:
    """Replies are lines without CRLF; `recipients` and `final` are functions of the address and of how many messages
    the sink was offered before this one. `None` from one of them closes the connection without a word."""

    greeting: str | None = "220 sink ESMTP"
    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 50000000")
    tls: ssl.SSLContext | None = None
    # Says 220 to STARTTLS and then talks nonsense.
    breaks_tls: bool = False
    sender: Callable[[str], str | None] = lambda address: "250 2.1.0 ok"
    recipient: Callable[[str], str | None] = lambda address: "250 2.1.5 ok"
    final: Callable[[int], str | None] = lambda count: "250 2.0.0 taken"
    # Called when a message begins to arrive and before its final dot is answered: may block.
    on_data: Callable[[], None] = lambda: None
    on_final: Callable[[], None] = lambda: None
    # Is called instead of everything, with the socket.
    raw: Callable[[socket.socket], None] | None = None


@dataclass
class Sink:
    behaviour: Behaviour = field(default_factory=Behaviour)
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        self.messages: list[Message] = []
        self.commands: list[str] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.offered = 0
        self.changed = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self._stopped = False

    def __enter__(self) -> "Sink":
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=100)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        # Wakes accept(), which closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._sockets):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._thread.join(10)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Returns once the condition holds; fails when it never does."""
        with self.changed:
            assert self.changed.wait_for(condition, seconds), f"took {self.messages}, was told {self.commands[-20:]}"

    def wait_for_messages(self, count: int, seconds: float = 30) -> list[Message]:
        self.wait_for(lambda: len(self.messages) >= count, seconds)
        return self.messages

    def _accept(self) -> None:
        while not self._stopped:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.add(sock)
            threading.Thread(target=self._guarded, args=(sock,), daemon=True).start()

    def _guarded(self, sock: socket.socket) -> None:
        with self.changed:
            self.connections += 1
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            self.changed.notify_all()
        try:
            if self.behaviour.raw:
                self.behaviour.raw(sock)
            else:
                dialog = _Dialog(self, sock)
                try:
                    dialog.run()
                finally:
                    dialog.sock.close()
        except (OSError, EOFError):
            pass
        finally:
            sock.close()
            self._sockets.discard(sock)
            with self.changed:
                self.open -= 1
                self.changed.notify_all()


class _Dialog:
    def __init__(self, sink: Sink, sock: socket.socket) -> None:
        self.sink, self.sock, self.tls = sink, sock, False
        self.buffer = b""
        self.sender, self.recipients = "", []

    def run(self) -> None:
        behaviour = self.sink.behaviour
        self.say(behaviour.greeting)
        while True:
            line = self.line().decode()
            with self.sink.changed:
                self.sink.commands.append(line)
                self.sink.changed.notify_all()
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb in ("EHLO", "HELO"):
                self.hello(verb, behaviour)
            elif verb == "STARTTLS":
                self.start_tls(behaviour)
            elif verb == "MAIL":
                self.sender, self.recipients = _path(line), []
                self.say(behaviour.sender(self.sender))
            elif verb == "RCPT":
                reply = behaviour.recipient(_path(line))
                if reply and reply.startswith("2"):
                    self.recipients.append(_path(line))
                self.say(reply)
            elif verb == "DATA":
                self.data(behaviour)
            elif verb == "AUTH":
                self.say("235 2.7.0 welcome")
            elif verb == "RSET":
                self.say("250 2.0.0 ok")
            elif verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("500 5.5.2 what?")

    def hello(self, verb: str, behaviour: Behaviour) -> None:
        words = ["sink", *(behaviour.extensions if verb == "EHLO" else ())]
        if behaviour.tls and not self.tls and verb == "EHLO":
            words.append("STARTTLS")
        lines = [f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]
        self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def start_tls(self, behaviour: Behaviour) -> None:
        self.say("220 2.0.0 go ahead")
        if behaviour.breaks_tls:
            self.sock.recv(65536)
            self.sock.sendall(b"this is no TLS at all\r\n")
            raise EOFError
        assert behaviour.tls is not None
        self.sock = behaviour.tls.wrap_socket(self.sock, server_side=True)
        self.tls, self.buffer = True, b""

    def data(self, behaviour: Behaviour) -> None:
        if not self.recipients:
            return self.say("554 5.5.1 no valid recipients")
        self.say("354 go on")
        behaviour.on_data()
        gathered = []
        while (line := self.line(keep=True)) != b".\r\n":
            gathered.append(line[1:] if line.startswith(b".") else line)
        count, self.sink.offered = self.sink.offered, self.sink.offered + 1
        behaviour.on_final()
        reply = behaviour.final(count)
        if reply and reply.startswith("2"):
            self.take(b"".join(gathered))
        self.say(reply)

    def take(self, data: bytes) -> None:
        with self.sink.changed:
            self.sink.messages.append(Message(self.sender, self.recipients, data, self.tls))
            self.sink.changed.notify_all()

    def say(self, line: str | None) -> None:
        if line is None:
            raise EOFError
        self.sock.sendall(line.encode() + b"\r\n")

    def line(self, *, keep: bool = False) -> bytes:
        while b"\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line + b"\r\n" if keep else line


def _path(line: str) -> str:
    return line[line.index("<") + 1 : line.index(">")]
