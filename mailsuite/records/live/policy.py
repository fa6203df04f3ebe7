"""Our MTA-STS policy (RFC 8461), fetched as senders fetch it, beside what is set here and where the MX records lead."""

from collections.abc import Sequence

from mailsuite.mailauth import mtasts
from mailsuite.mailauth.mtasts import Policy
from mailsuite.mailauth.tlsrpt import ResultType
from mailsuite.records.live.reach import CONNECT_SECONDS, Met, Reach, certificate_sentence, fails, good, unknown, warns
from mailsuite.transport_security.connecting import Cause, verified_context
from mailsuite.transport_security.fetching import HTTPS_PORT, FetchError, fetch_policy

FETCH_SECONDS = 2 * CONNECT_SECONDS


async def meet_policy(reach: Reach, domain: str, wanted: Policy, mail_hosts: Sequence[str]) -> Met:
    """`mail_hosts` are those of the MX records that are there."""
    if HTTPS_PORT in reach.memory.silent:
        return unknown("no answer just before")
    try:
        found = await fetch_policy(
            reach.resolver,
            domain,
            reach.allowed,
            context=reach.context or verified_context(),
            port=reach.ports.get(HTTPS_PORT, HTTPS_PORT),
            seconds=FETCH_SECONDS,
        )
    except FetchError as error:
        if error.cause is Cause.UNREACHABLE:
            reach.memory.silent.add(HTTPS_PORT)
        return _not_fetched(error, mtasts.policy_host(domain))
    return judge(found, domain, wanted, mail_hosts)


def judge(found: Policy, domain: str, wanted: Policy, mail_hosts: Sequence[str]) -> Met:
    """What a policy that was fetched means for mail to the domain."""
    text = f"a policy is served: mode {found.mode.value}, mx {', '.join(found.mx) or 'none'}"
    if found != wanted:
        which = f"mode {wanted.mode.value}, mx {', '.join(wanted.mx)}, max_age {wanted.max_age}"
        sentence = f"{mtasts.policy_host(domain)} serves another policy than is set here ({which}): is it this host?"
        return fails(sentence, text)
    if shut_out := [host for host in mail_hosts if not found.allows(host)]:
        sentence = (
            f"The policy does not name {shut_out[0]}, where MX leads too: take that MX record away, or add the host to "
            f"the domain's MTA-STS policy."
        )
        return warns(sentence, text)
    return good(text)


def _not_fetched(error: FetchError, host: str) -> Met:
    match error.cause:
        case Cause.UNREACHABLE | Cause.DNS | Cause.FORBIDDEN | Cause.NO_ADDRESS:
            return unknown(str(error))
        case Cause.REFUSED:
            sentence = f"Nothing answers at {host} port 443: open it in the firewall, or set MAILSUITE_LISTEN_HTTPS."
            return fails(sentence, "port 443 is closed")
    if error.result is ResultType.STS_WEBPKI_INVALID:
        return fails(certificate_sentence(host, str(error)), str(error))
    return fails(f"Senders get no policy, since {error}: let {host} lead to this host's web service.", str(error))
