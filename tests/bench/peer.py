"""The peer that we are measured against: Postfix and Dovecot from Debian, on loopback, under one folder (needs root).

Both sides have the same certificate, mailboxes and aliases, TLS offered and used alike, and their usual durability:
Postfix fsyncs its queue files, Dovecot what its LMTP server files.
"""

import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

DOMAIN = "example.test"
MAILBOXES = 100
PASSWORD = "pass word 42"
# No pipes: the daemons would inherit them, and whoever reads them would wait for the daemons.
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
PORTS = ("smtp", "submissions", "imap", "imaps", "pop3", "lmtp", "auth")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peer:
    name = "Postfix + Dovecot"

    def __init__(
        self, folder: Path, certificate: Path, key: Path, milters: Sequence[int] = (), relay: int | None = None
    ) -> None:
        """`relay` is a port of loopback: mail for others goes there, and is tried again in a day."""
        self.folder, self.certificate, self.key = folder, certificate, key
        backoff = "minimal_backoff_time = 1d\nmaximal_backoff_time = 1d"
        self._relay = f"relayhost = [127.0.0.1]:{relay}\n{backoff}" if relay else ""
        self._milters = ", ".join(f"inet:127.0.0.1:{port}" for port in milters)
        self.ports = {name: free_port() for name in PORTS}

    @property
    def log(self) -> Path:
        return self.folder / "postfix.log"

    def start(self) -> None:
        for name in ("mail", "queue", "data", "postfix"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        with suppress(subprocess.CalledProcessError):
            subprocess.run(["groupadd", "-r", "benchmail"], check=True, **QUIET)
            useradd = ["useradd", "-r", "-g", "benchmail", "-M", "-s", "/usr/sbin/nologin", "benchmail"]
            subprocess.run(useradd, check=True, **QUIET)
        subprocess.run(["chown", "benchmail:benchmail", self.folder / "mail"], check=True)
        subprocess.run(["chown", "postfix", self.folder / "data"], check=True)
        self._write_dovecot()
        self._write_postfix()
        subprocess.run(["dovecot", "-c", self.folder / "dovecot.conf"], check=True, **QUIET)
        subprocess.run(["postfix", "-c", self.folder / "postfix", "start"], check=True, **QUIET)
        for port in self.ports.values():
            wait_for_port(port)

    def stop(self) -> None:
        subprocess.run(["postfix", "-c", self.folder / "postfix", "stop"], check=False, **QUIET)
        subprocess.run(["doveadm", "-c", self.folder / "dovecot.conf", "stop"], check=False, **QUIET)

    def delivered(self) -> int:
        """How many messages have been filed into mailboxes so far."""
        return self.log.read_bytes().count(b"status=sent") if self.log.exists() else 0

    def _write_dovecot(self) -> None:
        users = [f"u{number}@{DOMAIN}:{{PLAIN}}{PASSWORD}::::::\n" for number in range(MAILBOXES)]
        (self.folder / "users").write_text("".join(users))
        ports, folder = self.ports, self.folder
        (self.folder / "dovecot.conf").write_text(f"""
base_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap pop3 lmtp
ssl = yes
ssl_cert = <{self.certificate}
ssl_key = <{self.key}
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail/%u
mail_uid = benchmail
mail_gid = benchmail
first_valid_uid = 1
mail_max_userip_connections = 2000
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid=benchmail gid=benchmail home={folder}/mail/%u
}}
service imap-login {{
  service_count = 0
  process_min_avail = 1
  client_limit = 1000
  inet_listener imap {{
    port = {ports["imap"]}
  }}
  inet_listener imaps {{
    port = {ports["imaps"]}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 1024
  service_count = 256
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {ports["pop3"]}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  process_min_avail = 2
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {ports["lmtp"]}
  }}
}}
service auth {{
  client_limit = 5000
  inet_listener {{
    address = 127.0.0.1
    port = {ports["auth"]}
  }}
}}
service anvil {{
  client_limit = 5000
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
""")

    def _write_postfix(self) -> None:
        folder = self.folder / "postfix"
        (folder / "mailboxes").write_text("".join(f"u{number}@{DOMAIN} x\n" for number in range(MAILBOXES)))
        (folder / "owners").write_text(f"/^(u[0-9]+@{DOMAIN})$/ ${{1}}\n")
        # NNNu@ goes to one of a hundred mailboxes, by the number's last two digits.
        patterns = [
            rf"/^[0-9]*([1-9][0-9])u@{DOMAIN}$/ u${{1}}@{DOMAIN}",
            rf"/^[0-9]*([0-9])u@{DOMAIN}$/ u${{1}}@{DOMAIN}",
        ]
        (folder / "spread").write_text("\n".join(patterns) + "\n")
        (folder / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {self.folder}/queue
data_directory = {self.folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
myhostname = mail.{DOMAIN}
mydestination =
mynetworks = 192.0.2.0/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = hash:{folder}/mailboxes
virtual_alias_maps = regexp:{folder}/spread
virtual_transport = lmtp:inet:127.0.0.1:{self.ports["lmtp"]}
smtpd_tls_cert_file = {self.certificate}
smtpd_tls_key_file = {self.key}
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{self.ports["auth"]}
smtpd_tls_auth_only = yes
smtpd_sender_login_maps = regexp:{folder}/owners
smtpd_sender_restrictions = reject_authenticated_sender_login_mismatch
smtpd_recipient_restrictions = permit_sasl_authenticated, reject_unauth_destination
{self._relay}
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
default_process_limit = 200
virtual_destination_concurrency_limit = 40
lmtp_destination_concurrency_limit = 40
message_size_limit = 52428800
virtual_mailbox_limit = 0
mailbox_size_limit = 0
smtpd_milters = {self._milters}
maillog_file = {self.log}
maillog_file_prefixes = {self.folder}
""")
        # service, type, private, unprivileged, chroot, wakeup, process limit, command
        services = [
            f"127.0.0.1:{self.ports['smtp']} inet n - n - - smtpd",
            f"127.0.0.1:{self.ports['submissions']} inet n - n - - smtpd"
            " -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes",
            "cleanup unix n - n - 0 cleanup",
            "qmgr unix n - n 300 1 qmgr",
            "rewrite unix - - n - - trivial-rewrite",
            "bounce unix - - n - 0 bounce",
            "defer unix - - n - 0 bounce",
            "trace unix - - n - 0 bounce",
            "verify unix - - n - 1 verify",
            "flush unix n - n 1000? 0 flush",
            "proxymap unix - - n - - proxymap",
            "tlsmgr unix - - n 1000? 1 tlsmgr",
            "smtp unix - - n - - smtp",
            "error unix - - n - - error",
            "retry unix - - n - - error",
            "lmtp unix - - n - - lmtp",
            "anvil unix - - n - 1 anvil",
            "scache unix - - n - 1 scache",
            "postlog unix-dgram n - n - 1 postlogd",
        ]
        (folder / "master.cf").write_text("\n".join(services) + "\n")
        subprocess.run(["postmap", "-c", folder, f"hash:{folder}/mailboxes"], check=True)


def wait_for_port(port: int, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
