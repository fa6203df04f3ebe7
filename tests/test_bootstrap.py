import ast
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mailsuite import bootstrap


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A checkout with nothing installed, whose lock pins nothing that this interpreter has."""
    monkeypatch.setattr(bootstrap, "BASE", tmp_path)
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", tmp_path / ".venv")
    (tmp_path / "manage.py").touch()
    (tmp_path / "requirements.lock").write_text("no-such-package==1.0 \\\n    --hash=sha256:00\n")
    return tmp_path


def test_an_old_python_gets_as_far_as_being_told():
    text = (bootstrap.BASE / "manage.py").read_text()
    ast.parse(text, feature_version=(3, 6))
    # Nothing of ours is imported before the version is looked at.
    script = (
        "import runpy, sys\n"
        "sys.version_info, sys.version = (3, 6, 9), '3.6.9 (old)'\n"
        "sys.modules['mailsuite'] = None\n"
        "sys.argv = ['manage.py', 'up']\n"
        f"runpy.run_path({str(bootstrap.BASE / 'manage.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True)
    assert done.returncode == 1 and "needs Python 3.11 or newer" in done.stderr
    assert done.stderr.strip().endswith("manage.py up") and "Traceback" not in done.stderr
    unquoted = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Subscript)]
    assert not any(ast.unparse(node).startswith("list[") for node in unquoted), "Python 3.8 evaluates it, and fails"


def test_nothing_is_made_where_the_packages_are(base, monkeypatch):
    lock = base / "requirements.lock"
    lock.write_text(f"pytest=={pytest.__version__} \\\n    --hash=sha256:00\n")
    monkeypatch.setattr(bootstrap, "install", lambda locks: pytest.fail("it installs"))
    bootstrap.ensure_packages(lock)


@pytest.mark.parametrize("pin", ["no-such-package==1.0", "pytest==0.0.1"])
def test_what_is_missing_or_of_another_version_is_installed(base, monkeypatch, pin):
    lock = base / "requirements.lock"
    lock.write_text(f"{pin} \\\n    --hash=sha256:00\n")
    done = []
    monkeypatch.setattr(bootstrap, "install", done.append)
    monkeypatch.setattr(bootstrap.os, "execv", lambda path, arguments: done.append(path))
    bootstrap.ensure_packages(lock)
    assert done == [(lock,), str(base / ".venv" / "bin" / "python")]


def test_a_changed_lock_is_installed_again(base, monkeypatch):
    lock = base / "requirements.lock"
    binaries = base / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "pip").touch()
    (binaries / "python").write_text(f'#!/bin/sh\necho "$@" >> {base}/called\n')
    (binaries / "python").chmod(0o755)

    bootstrap.install((lock,))
    bootstrap.install((lock,))
    first = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    assert [path.name for path in (base / ".venv").glob(".installed-*")] == [f".installed-requirements-{first}"]
    assert len((base / "called").read_text().splitlines()) == 1

    lock.write_text("other==2.0\n")
    bootstrap.install((lock,))
    assert len((base / "called").read_text().splitlines()) == 2
    assert len(list((base / ".venv").glob(".installed-*"))) == 1


def test_another_python_after_an_upgrade_of_the_system_gets_its_own_packages(base, monkeypatch):
    """The environment's Python is a link to the system's, which is then a newer one and finds nothing to import."""
    lock = base / "requirements.lock"
    binaries = base / ".venv" / "bin"
    (base / ".venv" / "lib" / "python3.0").mkdir(parents=True)
    binaries.mkdir()
    (binaries / "pip").touch()
    (binaries / "python").write_text(f'#!/bin/sh\necho "$@" >> {base}/called\n')
    (binaries / "python").chmod(0o755)
    bootstrap._stamp(lock).touch()
    monkeypatch.setattr(bootstrap.sys, "prefix", str(base / ".venv"))
    monkeypatch.setattr(bootstrap.sys, "executable", str(binaries / "python"))
    monkeypatch.setattr(bootstrap.os, "execv", lambda path, arguments: None)
    bootstrap.ensure_packages(lock)
    assert (base / "called").read_text().splitlines()[0] == f"-m venv --clear {base}/.venv"


def test_an_environment_whose_python_is_gone_is_made_again(base, monkeypatch):
    lock = base / "requirements.lock"
    binaries = base / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "pip").touch()
    (binaries / "python").symlink_to(base / "gone")
    bootstrap._stamp(lock).touch()
    monkeypatch.setattr(bootstrap.sys, "executable", "/bin/false")
    with pytest.raises(bootstrap.BootstrapError, match="can't make a virtual environment"):
        bootstrap.ensure_packages(lock)


def test_a_failed_installation_is_told_and_tried_again(base):
    lock = base / "requirements.lock"
    binaries = base / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "pip").touch()
    (binaries / "python").symlink_to("/bin/false")
    with pytest.raises(bootstrap.BootstrapError, match=r"requirements\.lock could not be installed"):
        bootstrap.install((lock,))
    assert list((base / ".venv").glob(".installed-*")) == []


def test_a_machine_without_a_way_to_the_index_is_told_so_once(base, monkeypatch):
    retry = "WARNING: Retrying (Retry(total={})) after connection broken by 'NewConnectionError: {}'"
    said = "\n".join(
        [*(retry.format(left, "no such name") for left in (4, 3, 2)), "ERROR: No matching distribution found"]
    )
    monkeypatch.setattr(bootstrap, "_step", lambda text, command: (1, said))
    with pytest.raises(bootstrap.BootstrapError, match="does not reach the index of Python packages") as raised:
        bootstrap._install_lock(base / "requirements.lock")
    assert str(raised.value).count("Retrying") == 1 and str(raised.value).endswith("No matching distribution found")
    monkeypatch.setattr(bootstrap, "_step", lambda text, command: (1, "ERROR: hashes do not match"))
    with pytest.raises(bootstrap.BootstrapError, match=r"installed\. pip said:\nERROR: hashes do not match"):
        bootstrap._install_lock(base / "requirements.lock")


def test_who_may_not_write_the_environment_is_told_whose_that_is(base, monkeypatch):
    """As the service's user after an upgrade whose packages nobody installed."""
    binaries = base / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("pip", "python"):
        (binaries / name).touch()
    monkeypatch.setattr(bootstrap.os, "access", lambda path, mode: path != base / ".venv")
    monkeypatch.setattr(bootstrap, "_step", lambda text, command: pytest.fail("it tries"))
    with pytest.raises(bootstrap.BootstrapError, match=r"manage\.py install` once as the owner"):
        bootstrap.install((base / "requirements.lock",))


def test_who_waits_for_another_that_installs_is_told(base, capfd):
    with open(base / "manage.py") as first, open(base / "manage.py") as second:
        bootstrap._take(first)
        assert capfd.readouterr().err == ""
        waiting = threading.Thread(target=bootstrap._take, args=(second,))
        waiting.start()
        said = ""
        while not said.endswith("\n"):  # which is written by itself
            said += capfd.readouterr().err
        fcntl.flock(first, fcntl.LOCK_UN)
        waiting.join()
    assert said == "Waiting for another command that installs the packages\n"


def test_without_python3_venv_the_package_is_named(base, monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "executable", "/bin/false")
    with pytest.raises(bootstrap.BootstrapError, match="apt install python3-venv"):
        bootstrap.install((base / "requirements.lock",))


def test_what_its_users_may_not_compile_is_compiled_for_them(base):
    (base / "mailsuite" / "mail").mkdir(parents=True)
    (base / "mailsuite" / "mail" / "reply.py").write_text("CODE = 250\n")
    bootstrap.compile_sources()
    assert list((base / "mailsuite" / "mail" / "__pycache__").glob("reply.*.pyc"))


def test_bootstrap_needs_the_standard_library_alone():
    """An interpreter without any installed package can run it."""
    script = "import sys; sys.path.append(sys.argv[1]); from mailsuite import bootstrap"
    command = [sys.executable, "-S", "-I", "-c", script, str(Path(bootstrap.__file__).parent.parent)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert (done.returncode, done.stderr) == (0, "")


def test_locks_name_no_place_to_get_packages_from():
    for lock in (bootstrap.LOCK, bootstrap.DEV_LOCK):
        text = lock.read_text()
        assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_the_dev_lock_agrees_with_the_lock():
    pins, dev_pins = (
        {line.split()[0] for line in lock.read_text().splitlines() if "==" in line}
        for lock in (bootstrap.LOCK, bootstrap.DEV_LOCK)
    )
    assert pins <= dev_pins


def test_a_step_that_fails_says_the_end_of_what_was_said(capfd):
    code, said = bootstrap._step("A step", ["sh", "-c", "seq 1 100; echo why >&2; exit 3"])
    assert code == 3 and said.splitlines()[-2:] == ["100", "why"] and len(said.splitlines()) == bootstrap.LAST_LINES
    assert capfd.readouterr().err == "A step\n", "and shows nothing of it by itself"


def test_a_step_shows_that_it_goes_on_where_there_is_no_terminal_too(capfd, monkeypatch):
    monkeypatch.setattr(bootstrap, "PROGRESS_SECONDS", 0.01)
    assert bootstrap._step("A step", ["sleep", "0.2"]) == (0, "")
    first, dots, end = capfd.readouterr().err.split("\n")
    assert first == "A step" and set(dots) == {"."} and end == ""


def test_a_bench_gets_the_packages_that_the_tests_have(monkeypatch):
    import manage

    done = []
    monkeypatch.setattr(bootstrap, "ensure_packages", lambda *locks: done.append(locks))
    monkeypatch.setattr(manage.os, "execv", lambda path, arguments: done.append(arguments[1:]) or sys.exit())
    monkeypatch.setattr(sys, "argv", ["manage.py", "bench", "soak", "--seconds", "5"])
    with pytest.raises(SystemExit):
        manage.main()
    assert done == [
        (bootstrap.LOCK, bootstrap.DEV_LOCK),
        [str(bootstrap.BASE / "tests/bench/soak.py"), "--seconds", "5"],
    ]
    assert manage.bench(["--rounds", "1"]) == [str(bootstrap.BASE / "tests/bench/run.py"), "--rounds", "1"]
    assert all(Path(manage.bench([name])[0]).exists() for name in manage.BENCHES)


def test_the_data_folder_of_a_site_is_beside_its_manage_py(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "manage.py").touch()
    assert bootstrap.base_folder(tmp_path / "project", ["x"]) == tmp_path / "project"
    assert bootstrap.base_folder(tmp_path / "packages", ["site/manage.py"]) == tmp_path / "site"
    assert bootstrap.base_folder(tmp_path / "packages", ["/usr/bin/gunicorn"]) == tmp_path
