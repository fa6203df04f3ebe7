"""What `up` tells the person who started it."""

from mailsuite.configuration import Configuration
from mailsuite.supervisor.prepare import Prepared

Addresses = dict[str, list[tuple[str, int]]]

# What a person calls it, the listener with implicit TLS, the one with STARTTLS.
CLIENT_SERVICES = (("IMAP", "IMAPS", "IMAP"), ("POP3", "POP3S", "POP3"), ("SMTP", "SUBMISSIONS", "SUBMISSION"))


def text(configuration: Configuration, prepared: Prepared, addresses: Addresses, *, at_terminal: bool) -> str:
    """Everything at the first start, where an account was made; one short paragraph later."""
    lines = []
    if prepared.backup:
        lines.append(f"Copied the database to {prepared.backup} before changing it.")
    if not addresses:
        lines.append(f"{configuration.data} is ready.")
    if prepared.password:
        lines += _account(configuration, prepared)
    if addresses:
        stop = "   Stop it with Ctrl-C." if at_terminal else ""
        lines += [f"Mailsuite is up. Admin: {admin_url(configuration, addresses)}{stop}"]
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


def _command(configuration: Configuration) -> str:
    """What a person types in front of a command. An installed host has one of its own (deploy/mailsuite): manage.py
    alone would take neither the service's user nor its settings."""
    return "mailsuite" if configuration.production else "python3 manage.py"


def _account(configuration: Configuration, prepared: Prepared) -> list[str]:
    return [
        "An administrator was made. This password is shown only now, and must be changed at the first sign-in:",
        "",
        f"    user      {prepared.administrator}",
        f"    password  {prepared.password}",
        "",
        f"To set another: {_command(configuration)} changepassword {prepared.administrator}",
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
    if not configuration.production:
        lines += [
            f"Mail from other hosts comes in at {_reachable(configuration, host)} port {port} (in production 25)."
            for host, port in addresses.get("SMTP", [])[:1]
        ]
    return lines


def _next_step(configuration: Configuration, addresses: Addresses) -> list[str]:
    url, command = admin_url(configuration, addresses), _command(configuration)
    more = ["`mailsuite` is the command that deploy/guide/start.md installs; in a container: python manage.py"]
    return [
        f"Next: add a domain and its mailboxes, in the admin ({url}directory/domain/add/) or here:",
        f"    {command} domain add example.org",
        f"    {command} mailbox add you@example.org",
        "Then say where alarms go, best to an address on another host:",
        f"    {command} alarms tell you@example.net",
        *(more if configuration.production else []),
    ]


def _reachable(configuration: Configuration, host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return configuration.hostname
    return f"[{host}]" if ":" in host else host
