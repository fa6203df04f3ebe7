"""`manage.py up` from outside: starting, restarting, stopping, refusing."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running_suite import BASE, processes_of_session

pytestmark = [pytest.mark.interop]


def run_up(data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to end by itself."""
    variables = {f"MAILSUITE_LISTEN_{name}": "127.0.0.1:0" for name in ("SMTP", "IMAP", "POP3", "SUBMISSION")}
    variables |= {f"MAILSUITE_LISTEN_{name}": "" for name in ("SUBMISSIONS", "IMAPS", "POP3S", "HTTP", "HTTPS")}
    return subprocess.run(
        [sys.executable, str(BASE / "manage.py"), "up"],
        env=os.environ | variables | {"MAILSUITE_DATA": str(data)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def wait_until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def test_first_start_tells_what_a_person_needs(suite):
    text = suite.log.read_text()
    assert re.search(r"user +admin@mx\.suite\.test\n +password  ([0-9a-f]{4}-){4}[0-9a-f]{4}\n", text)
    assert f"http://127.0.0.1:{suite.port('HTTP')}/admin/" in text
    assert "manage.py domain add" in text


def test_data_folder_is_private(suite):
    assert suite.data.stat().st_mode & 0o777 == 0o700
    for secret in ("secret.key", "tls/key.pem"):
        assert (suite.data / secret).stat().st_mode & 0o777 == 0o600


def test_status_names_every_listener(suite):
    lines = suite.manage("status").splitlines()
    assert all(": " in line and " ready" in line for line in lines)
    assert {"HTTP", "HTTPS"} <= {line.split()[0] for line in lines}


def test_status_without_a_suite_says_what_is_missing(tmp_path):
    environment = os.environ | {"MAILSUITE_DATA": str(tmp_path), "MAILSUITE_LISTEN_HTTP": "127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, str(BASE / "manage.py"), "status"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert re.search(r"HTTP +127\.0\.0\.1:1 +not ready: Connection refused", done.stdout)


def test_second_start_keeps_everything_and_says_little(start_suite):
    suite = start_suite()
    kept = [(suite.data / name).read_bytes() for name in ("secret.key", "tls/cert.pem", "tls/key.pem")]
    import_user = "from mailsuite.directory.models import User; "
    suite.manage("shell", "-c", import_user + "User.objects.create_user('ann@example.test', 'x')")
    suite.stop()
    already = suite.log.stat().st_size

    suite.start(wait=20)

    said = suite.log.read_text()[already:]
    assert "password" not in said
    assert [(suite.data / name).read_bytes() for name in ("secret.key", "tls/cert.pem", "tls/key.pem")] == kept
    assert "users: 2" in suite.manage("shell", "-c", import_user + "print('users:', User.objects.count())")
    assert not (suite.data / "backups").exists()
    suite.stop()


def test_a_killed_service_is_started_again(start_suite):
    suite = start_suite()
    before = suite.services
    for pids in before.values():
        os.kill(pids[0], signal.SIGKILL)
    wait_until(lambda: all(pids[0] not in (0, before[name][0]) for name, pids in suite.services.items()))
    suite.wait_ready()
    assert "web ended by signal SIGKILL" in suite.log.read_text()
    suite.stop()


def test_interrupt_ends_everything(start_suite):
    suite = start_suite()
    session = suite.process.pid
    os.killpg(session, signal.SIGINT)
    assert suite.process.wait(20) == 0
    assert processes_of_session(session) == []
    assert not (suite.data / "run" / "suite.json").exists()


def test_parent_killed_alone_leaves_no_orphan(start_suite):
    suite = start_suite()
    session = suite.process.pid
    suite.process.kill()
    suite.process.wait()
    wait_until(lambda: processes_of_session(session) == [])


def test_starts_beside_what_is_left_of_a_killed_parent(start_suite):
    """The new suite waits for the old one's services, so that never two of them write."""
    suite = start_suite()
    old = suite.process
    old.kill()
    old.wait()
    suite.start()
    assert processes_of_session(old.pid) == []
    suite.stop()


def test_a_stopped_parent_is_not_a_dead_one(start_suite):
    """The services live by the pipe, not by the parent's attention."""
    suite = start_suite()
    suite.process.send_signal(signal.SIGSTOP)
    suite.wait_ready()
    suite.process.send_signal(signal.SIGCONT)
    suite.stop()


def test_second_up_is_refused_by_name(start_suite):
    suite = start_suite()
    done = suite.run("up")
    assert done.returncode == 1
    assert f"already running on {suite.data} (process {suite.process.pid})" in done.stderr
    suite.stop()


def test_starts_over_a_killed_suite(start_suite):
    suite = start_suite()
    suite.kill()
    suite.start()
    suite.stop()


def test_a_taken_port_is_named_with_its_variable(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_up(tmp_path, MAILSUITE_LISTEN_HTTP=f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"HTTP can't listen on 127.0.0.1 port {port}" in done.stderr
    assert "MAILSUITE_LISTEN_HTTP" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MAILSUITE_LISTEN_IMAP", "nonsense", "MAILSUITE_LISTEN_IMAP is 'nonsense'; it must be host:port pairs"),
        ("MAILSUITE_LISTEN_HTTP", "192.0.2.1:0", "192.0.2.1 is no address of this machine"),
        ("MAILSUITE_DATA", "/dev/null/data", "MAILSUITE_DATA is /dev/null/data, which can't be used"),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL is 'mysql://x'"),
        ("DATABASE_URL", "postgre://ann:S3cret@h/x", "DATABASE_URL is 'postgre://…@h/x'"),
        ("DATABASE_URL", "postgresql://h:port/x", "DATABASE_URL is 'postgresql://h:port/x'"),
        ("DATABASE_URL", "postgresql://[h/x", "DATABASE_URL is 'postgresql://[h/x'"),
        ("DATABASE_URL", "postgresql://h/", "DATABASE_URL is 'postgresql://h/'"),
        ("DATABASE_URL", "postgresql://127.0.0.1:1/x?no=such", "invalid connection option"),
        ("MAILSUITE_HOSTNAME", "not a host", "MAILSUITE_HOSTNAME is 'not a host'; it must be a host name"),
        ("MAILSUITE_RESOLVER", "dns:port", "MAILSUITE_RESOLVER is 'dns:port'; it must be host:port"),
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x", "The database can't be used (DATABASE_URL)"),
        ("MAILSUITE_TLS_CERT", "/nowhere", "MAILSUITE_TLS_CERT and MAILSUITE_TLS_KEY belong together"),
        ("MAILSUITE_ENV_FILE", "/nowhere", "The env file /nowhere can't be read"),
    ],
)
def test_wrong_settings_are_told_in_plain_words(tmp_path, variable, value, said):
    done = run_up(tmp_path, **{variable: value})
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "S3cret" not in done.stderr


def test_a_data_folder_too_deep_for_sockets_is_told_in_plain_words(tmp_path):
    done = run_up(tmp_path / ("deep" * 25))
    assert done.returncode == 1
    assert "octets too long" in done.stderr and "MAILSUITE_DATA" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.sqlite_only
def test_a_file_that_is_no_database_is_told_in_plain_words(tmp_path):
    (tmp_path / "notes").write_text("Milk, bread, and something to read. " * 100)
    done = run_up(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/notes")
    assert done.returncode == 1
    assert "The database can't be used (DATABASE_URL): file is not a database" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_root_secret_is_not_used(tmp_path):
    (tmp_path / "secret.key").touch()
    done = run_up(tmp_path)
    assert done.returncode == 2
    assert "secret.key is empty" in done.stderr


def test_an_unreadable_certificate_is_told_in_plain_words(tmp_path):
    done = run_up(tmp_path, MAILSUITE_TLS_CERT="/nowhere/c.pem", MAILSUITE_TLS_KEY="/nowhere/k.pem")
    assert done.returncode == 1
    assert "MAILSUITE_TLS_CERT is /nowhere/c.pem, which can't be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_https_serves_the_certificate_of_the_first_run(suite):
    context = ssl.create_default_context(cafile=str(suite.certificate))
    with socket.create_connection(("127.0.0.1", suite.port("HTTPS"))) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
