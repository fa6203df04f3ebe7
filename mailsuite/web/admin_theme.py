"""The looks of the admin (django-unfold): names, colours, and the sidebar."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _item(title: str, icon: str, name: str, *, superusers_only: bool = False) -> dict[str, Any]:
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{name}")}
    return item | ({"permission": _is_superuser} if superusers_only else {})


def _tabs(model: str, title: str, removed: str, *, superusers_only: bool = False) -> dict[str, Any]:
    """Above a list, the way to the removed ones of its kind and back."""
    own, kept = f"directory_{model}_changelist", f"directory_{removed}_changelist"
    permission = {"permission": _is_superuser} if superusers_only else {}
    return {
        "models": [f"directory.{model}", f"directory.{removed}"],
        "items": [
            {"title": title, "link": reverse_lazy(f"admin:{own}")},
            {"title": "Removed", "link": reverse_lazy(f"admin:{kept}")} | permission,
        ],
    }


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": title != "Traffic", "items": list(items)}


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
    "LOGIN": {"form": "mailsuite.web.admin_sign_in.AdminSignInForm"},
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "mailsuite.web.dashboard.callback",
    "COLORS": {"primary": PRIMARY},
    "STYLES": [lambda request: static("mailsuite/admin.css")],
    "SCRIPTS": [lambda request: static("mailsuite/admin.js")],
    "TABS": [
        _tabs("domain", "Domains", "removeddomain", superusers_only=True),
        _tabs("mailbox", "Mailboxes", "removedmailbox"),
        _tabs("alias", "Aliases", "removedalias"),
    ],
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            _group(
                "Traffic",
                _item("Overview", "dashboard", "index"),
                _item("Messages", "receipt_long", "trace_story_changelist"),
                _item("Queued messages", "schedule_send", "queue_queuedmessage_changelist"),
                _item("Delivery attempts", "swap_vert", "queue_deliveryattempt_changelist"),
                _item("Reports", "monitoring", "reports_overview"),
                _item("Report mail", "mark_email_read", "reports_incomingreport_changelist"),
                {
                    "title": "Delivery test",
                    "icon": "network_check",
                    "link": reverse_lazy("delivery-test"),
                    "permission": _is_superuser,
                },
            ),
            _group(
                "Directory",
                _item("Domains", "language", "directory_domain_changelist"),
                _item("Mailboxes", "inbox", "directory_mailbox_changelist"),
                _item("Aliases", "alt_route", "directory_alias_changelist"),
                _item("Accounts", "group", "directory_user_changelist"),
                _item("App passwords", "key", "directory_credential_changelist"),
                _item("Permissions to send as", "badge", "directory_sendas_changelist"),
            ),
            _group(
                "Screening",
                _item("Allow or block rules", "rule", "screening_rule_changelist"),
                _item("First-time pauses", "hourglass_top", "screening_senderpause_changelist"),
                _item("Senders", "contacts", "junk_sender_changelist"),
                _item("Junk filters", "filter_alt", "junk_wordtable_changelist"),
                _item("DNS lists", "fact_check", "screening_dnslist_changelist", superusers_only=True),
                _item(
                    "Greylisted senders",
                    "history_toggle_off",
                    "screening_greylistentry_changelist",
                    superusers_only=True,
                ),
                _item("Screening settings", "tune", "screening_screeningsettings_changelist", superusers_only=True),
            ),
            _group(
                "Abuse",
                _item("Alarms", "notifications_active", "abuse_alarm_changelist"),
                _item("Who is told", "campaign", "abuse_alarmsettings_changelist", superusers_only=True),
                _item("Days of sending", "outgoing_mail", "abuse_sendingday_changelist"),
                _item("Sending caps", "tune", "abuse_sendingsettings_changelist", superusers_only=True),
                _item("Mailboxes' own caps", "tune", "abuse_sendingcap_changelist"),
                _item("Logins", "login", "directory_login_changelist"),
                _item("Throttled logins", "speed", "directory_loginthrottle_changelist", superusers_only=True),
                _item("Bans", "block", "abuse_ban_changelist", superusers_only=True),
                _item(
                    "Never banned networks", "verified_user", "abuse_allowednetwork_changelist", superusers_only=True
                ),
            ),
            _group(
                "Host",
                _item("Routes", "route", "queue_route_changelist", superusers_only=True),
                _item("MTA-STS policies", "lock", "transport_security_mtasts_changelist"),
                _item("DANE checks", "fingerprint", "transport_security_danelook_changelist", superusers_only=True),
                _item(
                    "MTA-STS of others",
                    "travel_explore",
                    "transport_security_knownpolicy_changelist",
                    superusers_only=True,
                ),
                _item("DKIM keys", "verified", "records_dkimkey_changelist"),
                _item("Reports sent", "outbox", "reports_outgoingreport_changelist", superusers_only=True),
                _item("Report settings", "tune", "reports_reportsettings_changelist", superusers_only=True),
                _item("Domains without reports", "block", "reports_reportexclusion_changelist", superusers_only=True),
            ),
        ],
    },
}
