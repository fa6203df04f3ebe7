"""Typed reading of environment variables. Every error names the variable, what it held and what it may hold.

Errors are collected by `Environment` rather than raised one at a time, so that a person who mistyped three
settings is told of three, in words and not as a traceback.
"""

import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TypeVar

from mailsuite.mail.address import AddressError, read_domain
from mailsuite.mail.client_network import Address, Network
from mailsuite.sizes import read_limit

T = TypeVar("T")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_SECONDS = 30 * UNITS["d"]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What Kubernetes sets in every container beside services of the names "mailsuite", "mailsuite-smtp" and the like; their
# …_PORT is a URL.
_SERVICE_LINK = re.compile(
    r"[A-Z][A-Z0-9_]*_(?:SERVICE_HOST|SERVICE_PORT\w*|PORT_[0-9]+_(?:TCP|UDP)\w*|PORT(?==\w+://).*)"
)
# Shorter ones can be guessed; 16 random octets in hexadecimal are as long.
SECRET_CHARACTERS = 32


class SettingsError(Exception):
    """One or more settings are unusable; str() is a line for each, fit to be shown to a person."""


class Environment:
    """Reads typed values from `variables`; problems gather in `problems` and `check()` raises them together."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._known: set[str] = set()
        self.problems: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        self._known.add(name)
        return self._variables.get(name, default).strip()

    def boolean(self, name: str, default: bool = False) -> bool:
        value = self.text(name).lower()
        if value in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
            return value in ("1", "true", "yes", "on") if value else default
        return self._wrong(name, value, "yes or no", default)

    def integer(self, name: str, default: int, minimum: int = 0, maximum: int = 2**31) -> int:
        value = self.text(name)
        if not value:
            return default
        if re.fullmatch(r"[0-9]{1,10}", value) and minimum <= int(value) <= maximum:
            return int(value)
        return self._wrong(name, value, f"a whole number from {minimum} to {maximum}", default)

    def path(self, name: str, default: Path) -> Path:
        value = self.text(name)
        try:
            return Path(value).expanduser().absolute() if value else default
        except RuntimeError:
            return self._wrong(name, value, "a folder; there is no user of that name here", default)

    def durations(self, name: str, default: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
        """Comma-separated durations such as `5s,10m,1h,1d`."""
        value = self.text(name)
        if not value:
            return default
        matches = [re.fullmatch(r"([0-9]{1,9})([smhd])", item.strip()) for item in value.split(",")]
        seconds = [int(m[1]) * UNITS[m[2]] for m in matches if m]
        if all(matches) and all(0 < length <= LONGEST_SECONDS for length in seconds):
            return tuple(timedelta(seconds=length) for length in seconds)
        return self._wrong(name, value, "durations from 1s to 30d, such as 30s,10m,2h,1d", default)

    def limit(self, name: str, default: int) -> int:
        """Octets of `500M` or `2G`; 0 for `none`."""
        value = self.text(name)
        octets = read_limit(value) if value else default
        return self._wrong(name, value, "a size such as 500M or 2G, or none", default) if octets is None else octets

    def host_name(self, name: str, default: str) -> str:
        """A host's name as lower-case A-labels."""
        value = self.text(name) or default
        try:
            return read_domain(value)
        except AddressError as error:
            return self._wrong(name, value, f"a host name such as mx.example.org. {error}", default)

    def host_names(self, name: str) -> tuple[str, ...]:
        """Comma-separated names, as lower-case A-labels."""
        value = self.text(name)
        try:
            return tuple(read_domain(item) for item in value.split(",") if item.strip())
        except AddressError as error:
            return self._wrong(name, value, f"host names such as mx.example.org,mx.example.net. {error}", ())

    def server(self, name: str) -> str:
        """`host:port` or `host`, as it was written; "" when it is not set."""
        value = self.text(name)
        match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+)(?::([0-9]{1,5}))?|[0-9a-fA-F:.]+", value)
        if not value or (match and 0 < int(match[2] or 1) <= 65535 and _is_host(match[1] or value)):
            return value
        return self._wrong(name, value, "host:port such as 127.0.0.1:53", "")

    def http_server(self, name: str) -> tuple[str, int] | None:
        """(host, port) of `http://host:port`; None when it is not set."""
        value = self.text(name)
        match = re.fullmatch(r"http://(?:\[([0-9a-fA-F:.]+)\]|([^\s:/\[\]@]+)):([0-9]{1,5})/?", value)
        if not value:
            return None
        if match and 0 < int(match[3]) <= 65535:
            return match[1] or match[2], int(match[3])
        return self._wrong(name, value, "http://host:port such as http://127.0.0.1:11333", None)

    def listeners(self, name: str, default: str) -> tuple[tuple[str, int], ...]:
        """Comma-separated host:port pairs, `[::1]:25` for IPv6; set but empty means off."""
        value = self.text(name, default)
        pairs: list[tuple[str, int]] = []
        for item in filter(None, (part.strip() for part in value.split(","))):
            match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]]*)):([0-9]{1,5})", item)
            if not match or int(match[3]) > 65535:
                return self._wrong(name, value, "host:port pairs such as 0.0.0.0:25,[::]:25, or nothing for off", ())
            pairs.append((match[1] or match[2] or "0.0.0.0", int(match[3])))
        return tuple(pairs)

    def networks(self, name: str) -> tuple[Network, ...]:
        value = self.text(name)
        try:
            return tuple(ip_network(item.strip(), strict=False) for item in value.split(",") if item.strip())
        except ValueError:
            return self._wrong(name, value, "networks such as 10.0.0.0/8,fd00::/8", ())

    def addresses(self, name: str) -> tuple[Address, ...]:
        value = self.text(name)
        try:
            found = tuple(ip_address(item.strip()) for item in value.split(",") if item.strip())
        except ValueError:
            found = None
        if found is not None and all(_is_one_host(address) for address in found):
            return found
        return self._wrong(name, value, "IP addresses such as 192.0.2.10,2001:db8::10", ())

    def secret(self, name: str) -> str:
        """The value of NAME, or the content of the file that NAME_FILE names; "" when neither is set. No problem is
        told with the value in it."""
        file_name = self.text(f"{name}_FILE")
        if value := self.text(name):
            return self._long_enough(name, value)
        if not file_name:
            return ""
        try:
            return self._long_enough(f"The secret in {file_name} ({name}_FILE)", Path(file_name).read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(f"{name}_FILE names {file_name}, which can't be read: {_why(error)}.")
            return ""

    def _long_enough(self, what: str, value: str) -> str:
        if any(len(word) < SECRET_CHARACTERS for word in value.split() or [""]):
            self.problems.append(
                f"{what} is too short to be safe; it must have {SECRET_CHARACTERS} characters or more, "
                "such as `openssl rand -hex 32` prints."
            )
        return value

    def refuse_unknown(self, prefix: str, others: Collection[str] = ()) -> None:
        """A problem for each variable that begins with `prefix` and was neither read so far nor is one of `others`: a
        setting with a letter wrong in its name sets nothing."""
        known = {name for name in self._known | set(others) if name.startswith(prefix)}
        for name, value in sorted(self._variables.items()):
            if name in known or not name.upper().startswith(prefix) or _is_service_link(name, value):
                continue
            near = get_close_matches(name.upper(), sorted(known), 1)
            self.problems.append(
                f"{name} is no setting. "
                + (f"Did you mean {near[0]}?" if near else "deploy/env.example has all of them.")
            )

    def check(self) -> None:
        """Raises SettingsError when any value read so far was wrong."""
        if self.problems:
            raise SettingsError("\n".join(self.problems))

    def _wrong(self, name: str, value: str, wanted: str, default: T) -> T:
        # What stands before an @ in a URL may be a password.
        shown = re.sub(r"//[^/@]*@", "//…@", value)
        self.problems.append(f"{name} is {shown!r}; it must be {wanted}.")
        return default


def _is_host(text: str) -> bool:
    """Whether the text is an address, in brackets perhaps, or a name; containers have names with underscores, too."""
    try:
        return bool(ip_address(text.strip("[]")))
    except ValueError:
        return bool(re.fullmatch(r"\w[\w.-]*", text))


def _is_one_host(address: Address) -> bool:
    return not (address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255")


def _is_service_link(name: str, value: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(f"{name}={value}" if name.endswith("_PORT") else name))


def with_file(variables: Mapping[str, str], default: Path) -> dict[str, str]:
    """`variables` over those of the env file, which MAILSUITE_ENV_FILE names or which is at `default`, if there is one.

    The file has a NAME=value on each line, as systemd's EnvironmentFile= reads it; `#` begins a comment line.
    """
    named = variables.get("MAILSUITE_ENV_FILE")
    path = Path(named) if named else default
    if not named and not path.exists():
        return dict(variables)
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"The env file {path} can't be read: {_why(error)}.") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith(("#", ";")):
            continue
        name, sign, value = line.partition("=")
        if not sign or not _NAME.fullmatch(name.strip()):
            # The line may hold a password.
            raise SystemExit(f"Line {number} of the env file {path} is not NAME=value.")
        found[name.strip()] = _unquoted(value.strip())
    return found | dict(variables)


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8"


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
