"""The directory from the shell: what is said, and one line instead of a traceback."""

import io
import sys

import pytest
from django.core.management import CommandError, call_command

from mailsuite.directory import lookup
from mailsuite.directory.models import Domain, Mailbox, User
from mailsuite.errors import ChangeRefused
from mailsuite.provisioning import mailbox_import, services
from mailsuite.queue.models import Route
from mailsuite.queue.routes import route_password

PASSWORD = "correct horse battery"


@pytest.fixture
def manage(monkeypatch):
    """`manage("mailbox", "add", …, stdin=…)` is what the command says."""

    def run(*words, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        out = io.StringIO()
        call_command(*words, stdout=out, stderr=out)
        return out.getvalue()

    return run


def test_from_nothing_to_a_working_directory(administrator, manage):
    assert "domain records example.org" in manage("domain", "add", "Example.org", "--quota", "2G")
    manage("mailbox", "add", "ann@example.org", "--password-stdin", "--name", "Ann", stdin=PASSWORD + "\n")
    manage("mailbox", "add", "bob@example.org", "--password-stdin", "--quota", "none", stdin=PASSWORD)
    manage("alias", "add", "info@example.org", "ann@example.org", "x@remote.example")
    manage("route", "add", "*.example.com", "smtp://me:s%40fe@127.0.0.1:2525")
    assert dict(Mailbox.objects.values_list("address", "quota_octets")) == {
        "ann@example.org": 2**31,
        "bob@example.org": 0,
    }
    assert len(lookup.resolve("info@example.org").remote) == 1
    route = Route.objects.get()
    assert (route.host, route.port, route.username, route_password(route)) == ("127.0.0.1", 2525, "me", "s@fe")
    assert "s@fe" not in route.password
    assert "2G" in manage("mailbox", "list") and "ann@example.org, x@remote.example" in manage("alias", "list")
    assert "smtp://127.0.0.1:2525" in manage("route", "list") and "s@fe" not in manage("route", "list")
    assert "example.org  active  2" in manage("domain", "list")
    manage("mailbox", "password", "ann@example.org", "--password-stdin", stdin="another long password\n")
    services.add_app_password(Mailbox.objects.get(address="ann@example.org").user_id, "phone")
    assert "void now: 1." in manage("mailbox", "revoke-app-passwords", "ann@example.org")
    manage("mailbox", "suspend", "ann@example.org")
    assert "suspended" in manage("mailbox", "list", "example.org")
    manage("mailbox", "resume", "ann@example.org")
    manage("mailbox", "quota", "ann@example.org", "1G")
    manage("mailbox", "remove", "ann@example.org")
    manage("alias", "remove", "info@example.org")
    manage("route", "remove", "*.example.com")
    manage("route", "add", "*.example.com", "smtps://me@smart.example", "--password-stdin", stdin="s@fe\n")
    assert route_password(Route.objects.get()) == "s@fe"
    manage("route", "remove", "*.example.com")
    manage("domain", "disable", "example.org")
    manage("domain", "enable", "example.org")
    manage("domain", "remove", "example.org")
    assert not Domain.objects.exclude(state="removed").exists() and not Route.objects.exists()


def test_a_mailbox_of_an_account_that_is_there_joins_it_without_a_password(domain, administrator, manage):
    """Such as the administrator's own address: nobody is asked, and the account keeps its password."""
    User.objects.filter(pk=administrator.pk).update(email="boss@example.org", address_key="boss@example.org")
    said = manage("mailbox", "add", "Boss@example.org")
    assert "its quota: 5G. It belongs to the account Boss@example.org, which keeps its password." in said
    mailbox = Mailbox.objects.select_related("user").get()
    assert mailbox.user == administrator and mailbox.user.password == administrator.password
    with pytest.raises(CommandError, match="already"):
        manage("mailbox", "add", "boss@example.org")


def test_a_password_that_is_given_to_an_account_that_is_there(domain, administrator, manage):
    """An administrator's is refused, anybody else's is set; without one, who is switched off is not brought back."""
    User.objects.filter(pk=administrator.pk).update(address_key="boss@example.org")
    with pytest.raises(CommandError, match="keeps its password: give none"):
        manage("mailbox", "add", "boss@example.org", "--password-stdin", stdin=PASSWORD)
    User.objects.filter(pk=administrator.pk).update(is_active=False)
    with pytest.raises(CommandError, match="--password-stdin"):
        manage("mailbox", "add", "boss@example.org")
    with pytest.raises(CommandError, match="make it active again first"):
        manage("mailbox", "add", "boss@example.org", "--password-stdin", stdin=PASSWORD)
    User.objects.filter(pk=administrator.pk).update(is_active=True, is_staff=False, is_superuser=False)
    said = manage("mailbox", "add", "boss@example.org", "--password-stdin", stdin=PASSWORD)
    assert said.splitlines() == [
        "boss@example.org is ready; its quota: 5G.",
        "It gets the mail of postmaster@example.org, abuse@example.org as well: change that with manage.py alias.",
    ]
    assert User.objects.get(pk=administrator.pk).check_password(PASSWORD)


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        ("mailbox add ann@unhosted.example --password-stdin", PASSWORD, "domain add unhosted.example"),
        ("mailbox add ann@example.org --password-stdin", "password1", "too weak"),
        ("mailbox add ann@example.org --password-stdin", "", "needs a password"),
        ("mailbox add ann@example.org", "", "--password-stdin"),
        ("mailbox add ann@example.org --password-stdin --quota lots", PASSWORD, "such as 500M"),
        ("mailbox add b@example.org --owner a@example.org --password-stdin", PASSWORD, "keeps its password"),
        ("mailbox suspend nobody@example.org", "", "no mailbox"),
        ("mailbox import /nowhere.csv", "", "can't be read"),
        ("domain add nodots", "", "no whole domain"),
        ("domain records unhosted.example", "", "domain add unhosted.example"),
        ("alias add info@example.org nobody@example.org", "", "no nobody@example.org"),
        ("alias remove nothing@example.org", "", "no alias"),
        ("route add example.com http://x", "", "no destination"),
        ("route add example.com smtp://x:99999", "", "no destination"),
        ("route add example.com smtp://[::1", "", "no destination"),
        ("route add nodots smtp://127.0.0.1:25", "", "no whole domain"),
        ("route remove example.com", "", "no route"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(domain, manage, words, stdin, says):
    with pytest.raises(CommandError, match=says) as caught:
        manage(*words.split(), stdin=stdin)
    assert "\n" not in str(caught.value)


def test_a_route_that_is_none_shows_no_password(domain, manage):
    with pytest.raises(CommandError, match="no destination") as caught:
        manage("route", "add", "example.com", "smtp://ann:hidden@")
    assert "hidden" not in str(caught.value)


def test_import_makes_all(domain, manage, tmp_path):
    lines = [
        "address,password,quota,name",
        "",
        f'"Ann@example.org",{PASSWORD},1G,"Ann, the first"',
        f"bob@example.org, {PASSWORD}",
    ]
    (tmp_path / "people.csv").write_text("\ufeff" + "\r\n".join(lines))
    assert "2 mailboxes" in manage("mailbox", "import", str(tmp_path / "people.csv"))
    rows = list(Mailbox.objects.values_list("address", "quota_octets", "name"))
    assert rows == [("Ann@example.org", 2**30, "Ann, the first"), ("bob@example.org", 5 * 2**30, "")]


def test_import_names_every_bad_line_and_makes_nothing(ann, manage, tmp_path):
    bad = [
        f"ann@example.org,{PASSWORD}",
        f"good@example.org,{PASSWORD}",
        "weak@example.org,short",
        f"x@unhosted.example,{PASSWORD}",
        "onlyone",
        f"good@example.org,{PASSWORD}",
        f"quota@example.org,{PASSWORD},lots",
    ]
    (tmp_path / "people.csv").write_text("\n".join(bad))
    with pytest.raises(CommandError) as caught:
        manage("mailbox", "import", str(tmp_path / "people.csv"))
    said = str(caught.value)
    assert [f"line {n}:" in said for n in range(1, 8)] == [False, False, True, True, True, True, True]
    (tmp_path / "people.csv").write_text(f"ann@example.org,another {PASSWORD}\n{bad[1]}")
    with pytest.raises(CommandError, match="line 1: .*there already"):
        manage("mailbox", "import", str(tmp_path / "people.csv"))
    assert list(Mailbox.objects.values_list("address", flat=True)) == ["ann@example.org"]


def test_many_are_imported_some_at_a_time_and_what_is_there_is_passed_over(domain, monkeypatch):
    """Two thousand in one transaction kept mail and logins waiting for twenty seconds."""
    monkeypatch.setattr(mailbox_import, "MADE_AT_ONCE", 2)
    make, transactions = mailbox_import._make, []

    def noting(rows, made, **options):
        transactions.append(len(rows))
        make(rows, made, **options)
        if len(transactions) == 2:
            services.add_alias("m4@example.org", ["elsewhere@far.example"])

    monkeypatch.setattr(mailbox_import, "_make", noting)
    lines = [f"m{number}@example.org,{PASSWORD}" for number in range(7)]
    with pytest.raises(
        ChangeRefused, match=r"^4 mailboxes were imported, then [^\n]*\nline 5: m4@example.org is an alias"
    ):
        mailbox_import.import_mailboxes(lines)
    assert transactions == [2, 2, 2] and Mailbox.objects.count() == 4
    services.remove_alias("m4@example.org")
    assert mailbox_import.import_mailboxes(lines) == 7
    assert transactions[3:] == [2, 1] and Mailbox.objects.count() == 7
    assert mailbox_import.import_mailboxes(lines) == 7


@pytest.mark.parametrize("end", ["", '\ncarol@example.org,"' + "a further long password" + '"', "\n" + "x" * 200_000])
def test_an_open_quotation_mark_swallows_no_lines(domain, manage, tmp_path, end):
    lines = [f"ann@example.org,{PASSWORD}", f'bob@example.org,"{PASSWORD}', f"dave@example.org,{PASSWORD}" + end]
    (tmp_path / "people.csv").write_text("\n".join(lines))
    with pytest.raises(CommandError, match='line 2: a field that begins with "'):
        manage("mailbox", "import", str(tmp_path / "people.csv"))
    assert not Mailbox.objects.exists()


def test_names_that_fit_in_no_row_are_told_before_anything_is_hashed(domain, manage, tmp_path, monkeypatch):
    monkeypatch.setattr(mailbox_import, "hash_password", None)
    for name in ("x" * 201, "x\0", "x\u2028y"):
        with pytest.raises(CommandError, match="The name (is longer|holds a control)"):
            manage("mailbox", "add", "ann@example.org", "--name", name, "--password-stdin", stdin=PASSWORD)
        (tmp_path / "people.csv").write_text(f"ann@example.org,{PASSWORD},,{name}")
        with pytest.raises(CommandError, match="line 1: The name"):
            manage("mailbox", "import", str(tmp_path / "people.csv"))
        with pytest.raises(CommandError, match="The description"):
            manage("domain", "add", "other.example", "--description", name)
    assert mailbox_import.parsing.label("Ann \u06af\u200c\U0001f469\u200d\U0001f4bb\u00a0B", "name")


def test_a_mark_of_dovecot_counts_at_the_beginning_alone(domain, manage, tmp_path):
    (tmp_path / "people.csv").write_text(
        "a@example.org,{PLAIN}one {plain} long word\nb@example.org,x{CLEAR}y long word"
    )
    manage("mailbox", "import", str(tmp_path / "people.csv"))
    users = {user.email: user for user in User.objects.all()}
    assert users["a@example.org"].check_password("one {plain} long word")
    assert users["b@example.org"].check_password("x{CLEAR}y long word")


def test_a_file_that_is_wrong_throughout_is_told_in_short(domain, manage, tmp_path):
    (tmp_path / "people.csv").write_text(f"ann@example.org;{PASSWORD}\n" * 5000)
    with pytest.raises(CommandError, match=r"more\.$") as told:
        manage("mailbox", "import", str(tmp_path / "people.csv"))
    assert "with commas between them" in str(told.value) and "… and 4900 more." in str(told.value)
    (tmp_path / "people.csv").write_text(f"ann@example.org,{PASSWORD}", "utf-16")
    with pytest.raises(CommandError, match="is no UTF-8 text: save it as UTF-8"):
        manage("mailbox", "import", str(tmp_path / "people.csv"))


def test_octets_of_an_old_code_page_are_a_password_whatever_the_system_s(domain, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"\xdf1234567890 \n"), encoding="utf-8", errors="strict")
    monkeypatch.setattr(sys, "stdin", stdin)
    call_command("mailbox", "add", "ann@example.org", "--password-stdin", stdout=io.StringIO())
    assert User.objects.get(email="ann@example.org").check_password("ß1234567890 ")


def test_records_are_shown_ready_to_copy(domain, manage):
    assert "v=spf1 mx -all" in manage("domain", "records", "example.org")
    assert 'example.org. 3600 IN TXT "v=spf1 mx -all"' in manage("domain", "records", "example.org", "--zone")


def test_what_is_removed_is_told_listed_and_restored(domain, administrator, manage):
    for name in ("ann", "bob"):
        manage("mailbox", "add", f"{name}@example.org", "--password-stdin", stdin=PASSWORD)
    manage("alias", "add", "team@example.org", "ann@example.org", "bob@example.org")
    manage("alias", "add", "only@example.org", "ann@example.org")
    said = manage("mailbox", "remove", "ann@example.org")
    assert "go on to their other targets alone: team@example.org." in said
    assert "take no mail any more: only@example.org." in said
    assert "Nobody else reads abuse@example.org, postmaster@example.org" in said
    assert "The account ann@example.org goes with it" in said and "For 30 days it can be restored" in said
    assert "ann@example.org" in manage("mailbox", "list", "--removed", "example.org")
    assert "ann@example.org is there again." in manage("mailbox", "restore", "ann@example.org")
    manage("alias", "remove", "team@example.org")
    assert "team@example.org" in manage("alias", "list", "--removed") and "team@" not in manage("alias", "list")
    manage("alias", "restore", "team@example.org")
    said = manage("domain", "remove", "example.org")
    assert "Mailboxes that go with it (2): ann@example.org, bob@example.org." in said
    assert "Aliases that go with it (4)" in said
    assert "example.org" in manage("domain", "list", "--removed")
    assert "mailboxes: 2, aliases: 4." in manage("domain", "restore", "example.org")
    with pytest.raises(CommandError, match="list --removed"):
        manage("mailbox", "restore", "carol@example.org")


def test_mail_is_forwarded_and_a_mailbox_gets_another_address(domain, administrator, manage):
    manage("mailbox", "add", "ann@example.org", "--password-stdin", stdin=PASSWORD)
    said = manage("mailbox", "forward", "ann@example.org", "x@remote.example", "y@remote.example")
    assert said == "Mail of ann@example.org goes on to x@remote.example, y@remote.example; a copy stays.\n"
    said = manage("mailbox", "forward", "ann@example.org", "x@remote.example", "--no-keep")
    assert said == "Mail of ann@example.org goes on to x@remote.example; no copy stays.\n"
    assert said == manage("mailbox", "forward", "ann@example.org")
    with pytest.raises(CommandError, match="Name the targets"):
        manage("mailbox", "forward", "ann@example.org", "--no-keep")
    assert "yes" in manage("mailbox", "list")
    assert manage("mailbox", "forward", "ann@example.org", "--stop") == "Mail of ann@example.org stays in it.\n"
    said = manage("mailbox", "rename", "ann@example.org", "anna@example.org")
    assert "Mail programs must sign in as anna@example.org" in said
