import re
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.conf import settings

from mailsuite.configuration import read_configuration
from mailsuite.env import Environment, SettingsError, with_file


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), ("Yes", True), ("on", True), ("TRUE", True), ("0", False), ("no", False), ("", True), (None, True)],
)
def test_boolean(value, expected):
    env = Environment({} if value is None else {"X": value})
    assert env.boolean("X", default=True) is expected
    assert env.problems == []


@pytest.mark.parametrize(("value", "expected"), [("", 7), ("1", 1), (" 64 ", 64)])
def test_integer(value, expected):
    env = Environment({"X": value})
    assert env.integer("X", 7, 1, 64) == expected
    assert env.problems == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ()),
        ("5s,10m, 2h ,1d", (timedelta(seconds=5), timedelta(minutes=10), timedelta(hours=2), timedelta(days=1))),
    ],
)
def test_durations(value, expected):
    env = Environment({"X": value})
    assert env.durations("X", ()) == expected
    assert env.problems == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, (("127.0.0.1", 25),)),
        ("", ()),
        (":2525", (("0.0.0.0", 2525),)),
        ("localhost:0", (("localhost", 0),)),
        ("0.0.0.0:25,[::]:25", (("0.0.0.0", 25), ("::", 25))),
    ],
)
def test_listeners(value, expected):
    env = Environment({} if value is None else {"X": value})
    assert env.listeners("X", "127.0.0.1:25") == expected
    assert env.problems == []


def test_networks():
    env = Environment({"X": "10.0.0.1/8, fd00::/8"})
    assert env.networks("X") == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def read_wrongly(env: Environment, kind: str) -> None:
    match kind:
        case "boolean":
            env.boolean("X")
        case "integer":
            env.integer("X", 1, 1, 64)
        case "durations":
            env.durations("X", ())
        case "listeners":
            env.listeners("X", "")
        case "networks":
            env.networks("X")
        case "host_name":
            env.host_name("X", "localhost")
        case "server":
            env.server("X")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("boolean", "maybe"),
        ("integer", "-1"),
        ("integer", "65"),
        ("integer", "1e3"),
        ("integer", "٣"),
        ("durations", "5"),
        ("durations", "5s,"),
        ("durations", "5 minutes"),
        ("durations", "0s"),
        ("durations", "999999999d"),
        ("listeners", "25"),
        ("listeners", "localhost"),
        ("listeners", "localhost:65536"),
        ("listeners", "::1:25"),
        ("listeners", "[::1]25"),
        ("networks", "10.0.0.0/33"),
        ("networks", "home"),
        ("host_name", "not a host"),
        ("host_name", "mx\r\nfoo"),
        ("host_name", "my_host.example"),
        ("host_name", "192.0.2.1"),
        ("host_name", "mx..example"),
        ("server", "127.0.0.1:dns"),
        ("server", "127.0.0.1:0"),
        ("server", "127.0.0.1:65536"),
        ("server", "two words"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(kind, value):
    env = Environment({"X": value})
    read_wrongly(env, kind)
    with pytest.raises(SettingsError, match=r"^X is '.*'; it must be "):
        env.check()


def test_all_wrong_values_are_told_at_once():
    env = Environment({"A": "maybe", "B": "perhaps"})
    env.boolean("A")
    env.boolean("B")
    with pytest.raises(SettingsError, match=r"^A is .*\nB is .*$"):
        env.check()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "localhost"), ("", "localhost"), ("MX.Example.org.", "mx.example.org"), ("mäil.test", "xn--mil-qla.test")],
)
def test_host_name(value, expected):
    env = Environment({} if value is None else {"X": value})
    assert env.host_name("X", "localhost") == expected
    assert env.problems == []


@pytest.mark.parametrize(
    "value", ["", "127.0.0.1:53", "dns", "dns:5353", "my_dns-1:53", "[::1]:53", "::1", "192.0.2.1"]
)
def test_server(value):
    env = Environment({"X": value})
    assert env.server("X") == value
    assert env.problems == []


def test_secret_from_a_file(tmp_path):
    path = tmp_path / "secret"
    in_file, itself = "from the file".replace(" ", "-") * 3, "itself" * 6
    path.write_text(in_file + "\n")
    assert Environment({"X_FILE": str(path)}).secret("X") == in_file
    assert Environment({"X_FILE": str(path), "X": itself}).secret("X") == itself
    assert Environment({}).secret("X") == ""


@pytest.mark.parametrize("value", ["x", "a" * 31, "a" * 40 + " short"])
def test_a_short_secret_is_refused_without_being_shown(value, tmp_path):
    path = tmp_path / "secret"
    path.write_text(value)
    for variables in ({"X": value}, {"X_FILE": str(path)}):
        env = Environment(variables)
        env.secret("X")
        with pytest.raises(SettingsError, match="X.* is too short to be safe") as caught:
            env.check()
        assert "aaa" not in str(caught.value)


def test_an_empty_secret_file_is_not_passed_over(tmp_path):
    path = tmp_path / "secret"
    path.touch()
    env = Environment({"X_FILE": str(path)})
    env.secret("X")
    with pytest.raises(SettingsError, match="too short"):
        env.check()


def test_an_unreadable_secret_file_is_told(tmp_path):
    env = Environment({"X_FILE": str(tmp_path / "none")})
    env.secret("X")
    with pytest.raises(SettingsError, match="X_FILE names .*none, which can't be read: No such file"):
        env.check()


def test_env_file_lies_under_the_environment(tmp_path):
    path = tmp_path / "mailsuite.env"
    path.write_text("# a comment\n\nA=from file\nB = 'quoted'\nC=\"x=y\"\n; another\nD=\n")
    merged = with_file({"A": "from shell"}, path)
    assert merged == {"A": "from shell", "B": "quoted", "C": "x=y", "D": ""}


def test_env_file_is_optional_unless_it_is_named(tmp_path):
    missing = tmp_path / "none"
    assert with_file({"A": "1"}, missing) == {"A": "1"}
    with pytest.raises(SystemExit, match="The env file .*none can't be read"):
        with_file({"MAILSUITE_ENV_FILE": str(missing)}, tmp_path / "default")
    (tmp_path / "default").write_bytes(b"A=\xff\n")
    with pytest.raises(SystemExit, match="default can't be read: it is not UTF-8"):
        with_file({}, tmp_path / "default")


def test_a_line_that_sets_nothing_is_told_without_what_it_holds(tmp_path):
    for line in ("export A=secret", "A secret", "=secret", "A B=secret"):
        (tmp_path / "file").write_text(f"# a comment\n{line}\n")
        with pytest.raises(SystemExit, match="^Line 2 of the env file .*file is not NAME=value") as told:
            with_file({}, tmp_path / "file")
        assert "secret" not in str(told.value)


def test_an_unknown_setting_is_an_error_with_the_nearest_known_name():
    env = Environment(
        {
            "X_HOSTNAM": "mx.example.org",
            "X_LISTEN_SMPT": "",
            "x_data": "/srv",
            "X_QQQQ": "1",
            "X_FILE_NAME": "/etc/x",
            "X_SERVICE_HOST": "10.0.0.1",
            "X_PORT_25_TCP_ADDR": "10.0.0.1",
            "OTHER": "1",
        }
    )
    for name in ("X_HOSTNAME", "X_DATA"):
        env.text(name)
    env.listeners("X_LISTEN_SMTP", "")
    env.refuse_unknown("X_", others=["X_FILE_NAME"])
    assert env.problems == [
        "X_HOSTNAM is no setting. Did you mean X_HOSTNAME?",
        "X_LISTEN_SMPT is no setting. Did you mean X_LISTEN_SMTP?",
        "X_QQQQ is no setting. deploy/env.example has all of them.",
        "x_data is no setting. Did you mean X_DATA?",
    ]


def test_what_kubernetes_sets_beside_services_of_our_name_is_no_mistake():
    env = Environment(
        {
            "X_SMTP_SERVICE_HOST": "10.0.0.1",
            "X_SMTP_IN_SERVICE_PORT_SMTP": "25",
            "X_SMTP_PORT": "tcp://10.0.0.1:25",
            "X_SMTP_PORT_25_TCP_PROTO": "tcp",
            "X_WEB_PORT": "8000",
        }
    )
    env.refuse_unknown("X_")
    assert [problem.split()[0] for problem in env.problems] == ["X_WEB_PORT"]


@pytest.mark.parametrize(
    "value", ["-1", ",", "a,b", "/etc/x", "127.0.0.1:99999", "[::1", "~", "1:2:3:4", "192.0.2.1/24"]
)
def test_no_server(value):
    env = Environment({"X": value})
    assert env.server("X") == "" and "X is" in env.problems[0]


@pytest.mark.parametrize("value", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "192.0.2.1,x"])
def test_addresses_that_no_host_has(value):
    env = Environment({"X": value})
    assert env.addresses("X") == () and "X is" in env.problems[0]


def test_a_home_that_nobody_has_and_a_password_in_the_wrong_place():
    env = Environment({"X": "~nobody.here/x", "Y": "http://me:s3cret@host:1/y"})
    assert env.path("X", Path("/d")) == Path("/d") and "no user of that name" in env.problems[0]
    env.http_server("Y")
    assert "s3cret" not in env.problems[1] and "http://…@host" in env.problems[1]


def test_every_variable_is_in_the_example():
    """deploy/env.example names what the code reads, and nothing else."""
    seen = set()

    class Recorder(dict):
        def get(self, name, default=None):
            seen.add(name)
            return default

        def __contains__(self, name):
            seen.add(name)
            return False

    read_configuration(Environment(Recorder()), settings.BASE_DIR)
    # What settings.py reads by itself, and what says where the file is.
    seen |= {"DATABASE_URL", "MAILSUITE_SECRET_KEY", "MAILSUITE_SECRET_KEY_FILE", "MAILSUITE_SECRET_KEY_OLD"}
    example = (settings.BASE_DIR / "deploy" / "env.example").read_text()
    assert set(re.findall(r"^#?([A-Z0-9_]+)=", example, re.MULTILINE)) == seen
