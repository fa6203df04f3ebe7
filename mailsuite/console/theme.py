"""The looks of the admin (django-unfold): names, colours, and the sidebar."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import get_script_prefix, get_urlconf, reverse
from django.utils.functional import lazy


@cache
def _reversed(name: str, prefix: str, urlconf: str | None) -> str:
    return reverse(name)


def _path_now(name: str) -> str:
    # The theme compares each link of the menu with each of its tabs, on every page: reversing took most of its time.
    return _reversed(name, get_script_prefix(), get_urlconf())


_path: Any = lazy(_path_now, str)


@dataclass(frozen=True, slots=True)
class Tab:
    """One list of the admin. `model` is its label (`queue.route`); with `url`, a page that belongs to it. What is
    `alone` is a form of one row (a SettingsAdmin), which its list leads to."""

    title: str
    model: str
    url: str = ""
    alone: bool = False

    @property
    def link(self) -> Any:
        """Where the tab leads, resolved when it is shown."""
        return _path(f"admin:{self.url or self.model.replace('.', '_') + '_changelist'}")

    def is_open_to(self, request: HttpRequest) -> bool:
        """Whether the person may look at it, as its own admin says."""
        from django.apps import apps
        from django.contrib import admin

        return admin.site.get_model_admin(apps.get_model(self.model)).has_module_permission(request)

    def is_open(self, request: HttpRequest) -> bool:
        """Whether its page, or a page below it, is what is asked for."""
        # No identity: the theme works with copies.
        return _open_page(request) == self


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu; related lists are its tabs, the first of which it leads to."""

    title: str
    icon: str
    tabs: tuple[Tab, ...]


def _entry(title: str, icon: str, *tabs: Tab | str) -> Entry:
    """One with a single list may name just its model."""
    return Entry(title, icon, tuple(Tab(title, tab) if isinstance(tab, str) else tab for tab in tabs))


MENU: dict[str, tuple[Entry, ...]] = {
    "Traffic": (
        _entry("Messages", "receipt_long", "trace.story"),
        _entry(
            "Queue",
            "schedule_send",
            Tab("Queued messages", "queue.queuedmessage"),
            Tab("Delivery attempts", "queue.deliveryattempt"),
        ),
        _entry(
            "Reports",
            "monitoring",
            Tab("Reports", "reports.dmarcreport", "reports_overview"),
            Tab("DMARC reports", "reports.dmarcreport"),
            Tab("TLS reports", "reports.tlsreport"),
            Tab("Report mail", "reports.incomingreport"),
            Tab("Reports sent", "reports.outgoingreport"),
            Tab("Domains without reports", "reports.reportexclusion"),
            Tab("Settings", "reports.reportsettings", alone=True),
        ),
    ),
    "Directory": (
        _entry(
            "Domains",
            "language",
            Tab("Domains", "directory.domain"),
            Tab("DKIM keys", "signing.dkimkey"),
            Tab("Removed", "directory.removeddomain"),
        ),
        _entry(
            "Mailboxes",
            "inbox",
            Tab("Mailboxes", "directory.mailbox"),
            Tab("Removed", "directory.removedmailbox"),
        ),
        _entry("Aliases", "alt_route", Tab("Aliases", "directory.alias"), Tab("Removed", "directory.removedalias")),
        _entry(
            "Accounts",
            "group",
            Tab("Accounts", "directory.user"),
            Tab("App passwords", "directory.credential"),
            Tab("Permissions to send as", "directory.sendas"),
        ),
    ),
    "Screening": (
        _entry(
            "Allow or block",
            "rule",
            Tab("Allow or block rules", "screening.rule"),
            Tab("First-time pauses", "screening.senderpause"),
            Tab("Greylisted senders", "screening.greylistentry"),
            Tab("DNS lists", "screening.dnslist"),
            Tab("Settings", "screening.screeningsettings", alone=True),
        ),
        _entry("Junk", "filter_alt", Tab("Senders", "junk.sender"), Tab("Junk filters", "junk.wordtable")),
    ),
    "Abuse": (
        _entry(
            "Alarms",
            "notifications_active",
            Tab("Alarms", "abuse.alarm"),
            Tab("Who is told", "abuse.alarmsettings", alone=True),
        ),
        _entry(
            "Sending",
            "outgoing_mail",
            Tab("Days of sending", "abuse.sendingday"),
            Tab("Mailboxes' own caps", "abuse.sendingcap"),
            Tab("Sending caps", "abuse.sendingsettings", alone=True),
        ),
        _entry(
            "Logins",
            "login",
            Tab("Logins", "directory.login"),
            Tab("Throttled logins", "directory.loginthrottle"),
            Tab("Bans", "access.ban"),
            Tab("Never banned networks", "access.allowednetwork"),
        ),
    ),
    "Host": (
        _entry("Routes", "route", "queue.route"),
        _entry(
            "Transport security",
            "lock",
            Tab("MTA-STS policies", "transport_security.mtasts"),
            Tab("MTA-STS of others", "transport_security.knownpolicy"),
            Tab("DANE checks", "transport_security.danelook"),
        ),
        _entry("Jobs", "schedule", "jobs.jobrun"),
    ),
}
ENTRIES = tuple(entry for entries in MENU.values() for entry in entries)
PAGES = tuple(tab for entry in ENTRIES for tab in entry.tabs)


def _open_page(request: Any) -> Tab | None:
    """The list that the request is about; looked for once, since each line of the menu asks."""
    if not hasattr(request, "open_page"):
        links = [(str(tab.link), tab) for tab in PAGES]
        below = [(len(link), tab) for link, tab in links if request.path.startswith(link)]
        request.open_page = max(below, key=lambda found: found[0])[1] if below else None
    found: Tab | None = request.open_page
    return found


def _line(entry: Entry) -> dict[str, Any]:
    """An entry as the theme's sidebar wants it; whoever may not see the first list sees no other."""
    return {
        "title": entry.title,
        "icon": entry.icon,
        "link": entry.tabs[0].link,
        "permission": entry.tabs[0].is_open_to,
        "active": lambda request: any(tab.is_open(request) for tab in entry.tabs),
    }


def _tabs(entry: Entry) -> dict[str, Any]:
    """Its tabs as the theme wants them."""
    items = [
        {"title": tab.title, "link": tab.link, "permission": tab.is_open_to, "active": tab.is_open}
        for tab in entry.tabs
    ]
    models = [{"name": tab.model, "detail": True} if tab.alone else tab.model for tab in entry.tabs]
    return {"models": models, "items": items, "page": entry.title}


def _superusers(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _group(title: str, entries: tuple[Entry, ...]) -> dict[str, Any]:
    lines = [_line(entry) for entry in entries]
    if title == "Traffic":
        lines.insert(0, {"title": "Overview", "icon": "dashboard", "link": _path("admin:index")})
        delivery_test = {"title": "Delivery test", "icon": "network_check", "link": _path("delivery-test")}
        lines.append(delivery_test | {"permission": _superusers})
    return {"title": title, "separator": title != "Traffic", "items": lines}


# Teal, evenly spaced in lightness so that text on it stays readable in both themes.
PRIMARY = {
    "50": "oklch(98% .014 185)", "100": "oklch(95% .04 183)", "200": "oklch(91% .08 181)", "300": "oklch(85% .11 182)",
    "400": "oklch(76% .12 184)", "500": "oklch(66% .11 187)", "600": "oklch(52% .09 188)", "700": "oklch(47% .08 189)",
    "800": "oklch(41% .07 191)", "900": "oklch(36% .06 193)", "950": "oklch(26% .045 195)",
}  # fmt: skip

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Mailsuite",
    "SITE_HEADER": "Mailsuite",
    "SITE_SYMBOL": "mail",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("mailsuite/icon.svg")},
    ],
    "SITE_URL": "/",
    "LOGIN": {"form": "mailsuite.console.sign_in.AdminSignInForm"},
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "mailsuite.console.dashboard.callback",
    "COLORS": {"primary": PRIMARY},
    "STYLES": [lambda request: static("mailsuite/admin.css")],
    "SCRIPTS": [lambda request: static("mailsuite/admin.js")],
    "TABS": [_tabs(entry) for entry in ENTRIES if len(entry.tabs) > 1],
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": [_group(title, entries) for title, entries in MENU.items()],
    },
}
