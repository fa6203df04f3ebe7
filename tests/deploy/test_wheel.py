"""The wheel has all that runs, and a Django site that it is installed in starts with the lines that README.md gives."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from django.core.management import call_command

BASE = Path(__file__).resolve().parent.parent.parent
ROOMS = ("mailsuite", "smtpd_service", "retrieval")

pytestmark = [pytest.mark.sqlite_only, pytest.mark.interop]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, links and all: what setuptools leaves behind, a later build would take in."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*ROOMS, "deploy"):
        shutil.copytree(BASE / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(BASE / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    # By the pinned setuptools, without the index. pyproject.toml asks for what this environment has.
    run(*pip, "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", target, source)
    [path] = target.iterdir()
    return path


@pytest.fixture(scope="module")
def site(wheel, migrated, tmp_path_factory):
    """A new Django site in a fresh virtual environment, which has the wheel, and what it depends on from this one. Its
    database has tables already: to make them costs more than all else."""
    folder = tmp_path_factory.mktemp("site")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    call_command("startproject", "mysite", str(folder))
    (folder / "shop").mkdir()
    call_command("startapp", "shop", str(folder / "shop"))
    with open(folder / "mysite" / "settings.py", "a") as settings:
        settings.write(lines_of_the_readme())
    (folder / "mysite" / "urls.py").write_text(
        "from django.http import HttpResponse\nfrom django.urls import include, path\n\n"
        'shop = path("shop", lambda request: HttpResponse("the shop"))\n'
        'urlpatterns = [shop, path("", include("mailsuite.web.urls"))]\n'
    )
    (folder / "var").mkdir(mode=0o700)
    shutil.copy(migrated.template(), folder / "var")
    return folder


def lines_of_the_readme():
    chapter = (BASE / "README.md").read_text().split("## In your Django site")[1]
    return re.search(r"```python\n(.*?)```", chapter, re.DOTALL)[1]


def run(*command, check=True, cwd=None):
    of_the_tests = ("DJANGO_", "DATABASE_", "PYTHON", "MAILSUITE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(of_the_tests)}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240, cwd=cwd, env=kept)
    assert not check or done.returncode == 0, done.stderr
    return done


def manage(site, *words, check=True):
    return run(site / "venv" / "bin" / "python", site / "manage.py", *words, check=check, cwd="/")


def test_all_that_is_there_is_in_the_wheel(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    ours = {str(path.relative_to(BASE)) for room in ROOMS for path in (BASE / room).rglob("*") if path.is_file()}
    guide = {f"mailsuite/console/guide/{path.name}" for path in (BASE / "deploy" / "guide").iterdir()}
    missing = {path for path in ours | guide if not path.endswith(".pyc")} - packed
    assert missing == set() and "mailsuite/console/env.example" in packed
    assert {path.split("/")[0] for path in packed if ".dist-info" not in path} == set(ROOMS)


def test_a_site_with_the_lines_of_the_readme_starts(site):
    said = manage(site, "up", "--prepare-only").stdout
    assert f"{site}/var is ready" in said and "password" in said and "Changing the database" not in said
    shown = manage(
        site,
        "shell",
        "-c",
        "from django.core.management import call_command\n"
        "from django.test import Client\n"
        "from mailsuite.directory.models import User\n"
        "client = Client(SERVER_NAME='localhost')\n"
        "assert client.get('/shop').content == b'the shop'\n"
        "client.force_login(User.objects.get())\n"
        "User.objects.update(must_change_password=False)\n"
        "page = client.get('/admin/').content.decode()\n"
        "import re\n"
        'sheets = re.findall(r\'(/static/[^"]*mailsuite/[^"]+[.]css[^"]*)\', page)\n'
        "print(len(page) > 5000, [client.get(sheet).status_code for sheet in ['/favicon.ico', *sheets]][:2])\n"
        "assert client.get('/admin/guide/settings/').status_code == 200\n"
        "call_command('domain', 'add', 'example.org')\n",
    ).stdout
    assert "True [200, 200]" in shown and "example.org" in shown


def test_apps_without_the_settings_are_told_so(site):
    path = site / "mysite" / "settings.py"
    whole = path.read_text()
    path.write_text(whole.split("from mailsuite.settings")[0] + "INSTALLED_APPS += ['mailsuite.supervisor']\n")
    try:
        done = manage(site, "check", check=False)
    finally:
        path.write_text(whole)
    assert done.returncode and "from mailsuite.settings import *" in done.stderr.strip().splitlines()[-1]
