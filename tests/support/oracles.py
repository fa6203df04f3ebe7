"""Other programs' word on signatures: opendkim, mailauth (of npm) and dkimpy verify ours and make their own.

A zone here maps a key's name to its record: {"r1._domainkey.example.org": b"v=DKIM1; k=rsa; p=..."}.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from milter import Milter

from mailsuite.mailauth.dkim.sign import SigningKey
from mailsuite.resolver.answers import ZoneResolver

BASE = Path(__file__).resolve().parent.parent.parent
NODE_MODULES = BASE / ".oracles" / "node_modules"
Zone = Mapping[str, bytes]


@dataclass(frozen=True)
class TestKey:
    """A key of a domain, in all the forms that programs ask for."""

    __test__ = False

    domain: str
    selector: str
    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey = field(repr=False)

    @property
    def algorithm(self) -> str:
        return "rsa" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519"

    @property
    def name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def public_octets(self) -> bytes:
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return public.public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def record(self) -> bytes:
        return b"v=DKIM1; k=%b; p=%b" % (self.algorithm.encode(), base64.b64encode(self.public_octets))

    @property
    def pem(self) -> str:
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def signing_key(self) -> SigningKey:
        return SigningKey(self.domain, self.selector, self.algorithm, self.pem)

    @property
    def for_dkimpy(self) -> bytes:
        if self.algorithm == "rsa":
            return self.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        return base64.b64encode(self.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def zone_of(*keys: TestKey) -> dict[str, bytes]:
    return {key.name: key.record for key in keys}


def resolver_of(zone: Zone) -> ZoneResolver:
    return ZoneResolver({(name, "TXT"): [record] for name, record in zone.items()})


def dkimpy_dns(zone: Zone) -> Any:
    """A dnsfunc for dkimpy."""
    return lambda name, timeout=5: zone.get(name.decode().rstrip("."))


def dkimpy_verifies(message: bytes, zone: Zone, number: int = 0) -> bool:
    try:
        return bool(dkim.DKIM(message, minkey=1024).verify(number, dnsfunc=dkimpy_dns(zone)))
    except dkim.DKIMException:
        return False


def opendkim_verifies(opendkim: str, message: bytes, zone: Zone) -> bool:
    """Whether opendkim finds the message's first signature good; all by itself, without DNS."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "zone").write_bytes(b"".join(b"%b %b\n" % (key.encode(), value) for key, value in zone.items()))
        (folder / "mail").write_bytes(message.replace(b"\r\n", b"\n"))
        (folder / "conf").write_text(f"Mode v\nSyslog no\nTestDNSData {folder}/zone\n")
        command = [opendkim, "-x", folder / "conf", "-t", folder / "mail", "-v"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        found = re.search(r"verification \(.*\) (succeeded|failed)", done.stdout + done.stderr)
        assert found, done.stdout + done.stderr
        return found[1] == "succeeded"


@contextmanager
def opendkim_signer(opendkim: str, key: TestKey, *settings: str) -> Iterator[Milter]:
    """opendkim as a milter that signs with the key; `settings` are lines of its configuration."""
    folder = Path(tempfile.mkdtemp(prefix="opendkim-"))
    (folder / "key").write_text(key.pem)
    (folder / "key").chmod(0o600)
    lines = ["Mode s", "Syslog no", f"Socket local:{folder}/socket", f"PidFile {folder}/pid", "UserID root"]
    lines += ["RequireSafeKeys no", *settings]  # /tmp is everybody's
    if key.algorithm == "ed25519":
        lines.append("SignatureAlgorithm ed25519-sha256")
    lines += [f"Domain {key.domain}", f"Selector {key.selector}", f"KeyFile {folder}/key"]
    (folder / "conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([opendkim, "-f", "-x", folder / "conf"], stdin=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if (folder / "socket").exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        milter = Milter(folder / "socket")
        yield milter
        milter.close()
    finally:
        process.kill()  # asked to end, it takes five seconds
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def mailauth(asked: Sequence[dict[str, Any]]) -> list[Any]:
    """mailauth's answers to mailauth_oracle.js's questions, whose messages and zones are octets here."""
    node = NODE_MODULES / ".bin" / "node"
    if not node.exists():
        text = "needs mailauth of npm, with its node, in .oracles (npm install --prefix .oracles node@22 mailauth@7)"
        pytest.fail(text) if os.environ.get("TESTS_SKIP_NOTHING") else pytest.skip(text)
    plain = [
        one
        | {"message": base64.b64encode(one["message"]).decode()}
        | {"zone": {name: value.decode() for name, value in one.get("zone", {}).items()}}
        for one in asked
    ]
    command = [node, BASE / "tests" / "support" / "mailauth_oracle.js", NODE_MODULES]
    done = subprocess.run(command, input=json.dumps(plain), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers
