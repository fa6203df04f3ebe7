"""What `up` tells the person who started it."""

from mailsuite.configuration import Configuration
from mailsuite.supervisor.prepare import Prepared

Addresses = dict[str, list[tuple[str, int]]]

# What a person calls it, the listener with implicit TLS, the one with STARTTLS.
CLIENT_SERVICES = (("IMAP", "IMAPS", "IMAP"), ("POP3", "POP3S", "POP3"), ("SMTP", "SUBMISSIONS", "SUBMISSION"))


def text(configuration: Configuration, prepared: Prepared, addresses: Addresses) -> str:
    """Everything at the first start, where an account was made; one short paragraph later."""
    lines = []
    if prepared.backup:
        lines.append(f"Copied the database to {prepared.backup} before changing it.")
    if not addresses:
        lines.append(f"{configuration.data} is ready.")
    if prepared.password:
        lines += _account(prepared)
    if addresses:
        lines += [f"Mailsuite is up. Admin: {admin_url(configuration, addresses)}   Stop it with Ctrl-C."]
    if prepared.password and addresses:
        lines += ["", *_clients(configuration, addresses), "", *_next_step(configuration, addresses)]
    return "\n".join(lines)


def admin_url(configuration: Configuration, addresses: Addresses) -> str:
    """Where the admin can be opened: by HTTPS in production, else by the plain loopback listener."""
    for name in ("HTTPS", "HTTP") if configuration.production else ("HTTP", "HTTPS"):
        for host, port in addresses.get(name, []):
            usual = port == {"HTTP": 80, "HTTPS": 443}[name]
            return f"{name.lower()}://{_reachable(configuration, host)}{'' if usual else f':{port}'}/admin/"
    return "off (MAILSUITE_LISTEN_HTTP, MAILSUITE_LISTEN_HTTPS)"


def _account(prepared: Prepared) -> list[str]:
    return [
        "An administrator was made. This password is shown only now, and must be changed at the first sign-in:",
        "",
        f"    user      {prepared.administrator}",
        f"    password  {prepared.password}",
        "",
        f"To set another: python3 manage.py changepassword {prepared.administrator}",
        "",
    ]


def _clients(configuration: Configuration, addresses: Addresses) -> list[str]:
    lines = ["Settings for mail clients (user name: the full address; password: the mailbox's):"]
    for label, implicit, starttls in CLIENT_SERVICES:
        ways = [
            f"{_reachable(configuration, host)} port {port} {way}"
            for name, way in ((implicit, "TLS"), (starttls, "STARTTLS"))
            for host, port in addresses.get(name, [])[:1]
        ]
        if ways:
            lines.append(f"    {label}  {'  or  '.join(ways)}")
    if configuration.tls_cert is None:
        lines.append("Its certificate is of its own making: each program asks once whether to trust it.")
    return lines


def _next_step(configuration: Configuration, addresses: Addresses) -> list[str]:
    url = admin_url(configuration, addresses)
    return [
        f"Next: add a domain and its mailboxes, in the admin ({url}directory/domain/add/) or here:",
        "    python3 manage.py domain add example.org",
        "    python3 manage.py mailbox add you@example.org",
        "Then say who is told of alarms, best an address on another host:",
        "    python3 manage.py alarms tell you@example.net",
    ]


def _reachable(configuration: Configuration, host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return configuration.hostname
    return f"[{host}]" if ":" in host else host
