"""Facts in, verdict out. The first rule that has an opinion decides, in this order:

 1. a rule that people wrote: allow, junk or block; the mailbox's before its domain's before the site's
 2. the client calls itself by our name, or the reverse-path's domain takes no mail (RFC 7505): refused
 3. DMARC fails and the domain asks for reject or quarantine: see below
 4. a stranger writes in the name of a domain that is ours, and nothing proves it: Junk, whatever policy the domain
    publishes, since here we know who may send for it; see below
 5. a sender whom this mailbox wants, or does not want: what its owner did before comes before what the text looks like
 6. From does not say for certain whom the message is from (RFC 9989 §5.3.1): Junk; refused where it names more than
    anybody does, since a forged one among them would not be found (§11.5)
 7. DNS lists and other signs by weight: Junk from the site's junk_weight on, refused from its refused_weight on, or
    when nothing authenticates the sender either (RFC 7372 5.7.26)
 8. a scanner outside: reject, defer, junk
 9. the content filter: Junk from JUNK_PROBABILITY on
10. SPF says fail and nothing else speaks for the sender: Junk. Nobody is refused by SPF alone: forwarding breaks it
11. else the inbox

DMARC's reject is followed only when nothing speaks for the message (RFC 9989 §7: p=reject alone is no reason to
refuse): a sealer whom the site trusts saw it pass (ARC), or this mailbox wants the domain that did authenticate, and it
goes to the inbox; a mailing list that the site knows, and it goes to Junk. Nor does anything but DNS decide less when
DNS is in trouble: temperror is never held against a message.

What is ours is not taken for forged when a sealer whom the site trusts saw it pass, when a mailing list sends it on
that the site knows or this mailbox wants, or when one of our users sent it (Message-ID) to a list that authenticates
and brings it back, changed so that our signature broke.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from mailsuite.authcheck.report import AuthReport
from mailsuite.mail.reply import Reply, printable
from mailsuite.mail.srs import is_srs
from mailsuite.verdict.facts import MailboxFacts, MessageFacts, StandingFact
from mailsuite.verdict.verdict import Action, Verdict

JUNK_PROBABILITY = 0.9
CERTAIN_PROBABILITY = 0.999
# What a sender is known by that nobody can borrow, beside the author: see mailsuite.junk.signs.
AUTHENTIC_RUNGS = ("dkim", "spf")

Rule = Callable[[MessageFacts, MailboxFacts], Verdict | None]


def judge(message: MessageFacts, mailbox: MailboxFacts) -> Verdict:
    """Return what becomes of one mailbox's copy."""
    for rule in RULES:
        if verdict := rule(message, mailbox):
            return verdict
    return Verdict(Action.INBOX, "ordinary")


def by_rule(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    rule = mailbox.rule
    if rule is None:
        return None
    whose = f"the {rule.scope}'s rule {rule.text}"
    match rule.action:
        case "allow":
            return Verdict(Action.INBOX, "allow-rule", f"{whose} allows it", dmarc_override=_local(message))
        case "junk":
            return Verdict(Action.JUNK, "junk-rule", f"{whose} says so", is_certain=True)
        case "block":
            return reject("block-rule", f"{whose} blocks it", "7.1", "This sender is blocked here")
    return None


def by_pretence(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    if message.refusal is None:
        return None
    reply = replace(message.refusal, text=f"{message.refusal.text} (pretends-to-be-us)")
    text = "its sender's host calls itself by our name"
    return Verdict(Action.REJECT, "pretends-to-be-us", text, is_certain=True, reply=reply)


def by_null_mx(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    if message.report is None or not message.report.sender_takes_no_mail:
        return None
    return reject("sender-null-mx", "its sender's domain takes no mail", "7.27", "Your sender's domain takes no mail")


def by_dmarc(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    report = message.report
    if report is None or report.dmarc.result != "fail":
        return None
    dmarc = report.dmarc
    if dmarc.disposition_asked == "none":
        return None
    domain = dmarc.from_domain
    if sealer := vouching_sealer(report):
        text = f"{sealer}, which this site trusts, saw {domain} stand behind it before passing it on"
        return Verdict(Action.INBOX, "trusted-forwarder", text, dmarc_override="trusted_forwarder")
    standing = mailbox.standing
    if standing and _is_wanted(standing, report):
        return Verdict(Action.INBOX, "wanted-sender", standing.text, dmarc_override="local_policy")
    text = f"{domain} does not stand behind it and asks to {dmarc.disposition_asked} such mail"
    if dmarc.disposition_asked == "quarantine":
        return Verdict(Action.JUNK, "dmarc-quarantine", text, (dmarc.reason,))
    if message.is_list_known:
        text = f"{text}; a mailing list that is known here may have changed it"
        return Verdict(Action.JUNK, "dmarc-reject", text, (dmarc.reason,), dmarc_override="mailing_list")
    return reject("dmarc-reject", text, "7.1", f"Rejected per DMARC policy for {domain}", (dmarc.reason,))


def by_own_domain(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    report = message.report
    if report is None or not (domain := unproved_own_domain(report, message.own_domains)):
        return None
    if message.is_list_known or message.is_own_post or vouching_sealer(report):
        return None
    standing = mailbox.standing
    if standing and standing.label == "wanted" and standing.rung in AUTHENTIC_RUNGS:
        return None
    text = f"it says that it is from {domain}, which is hosted here, and neither a signature nor SPF proves it"
    return Verdict(Action.JUNK, "own-domain-forged", text)


def by_standing(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    standing = mailbox.standing
    if standing is None or standing.label == "unknown":
        return None
    if standing.label == "wanted":
        is_wanted = _is_wanted(standing, message.report)
        return Verdict(Action.INBOX, "wanted-sender", standing.text) if is_wanted else None
    return Verdict(Action.JUNK, "unwanted-sender", standing.text)


def by_unclear_author(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    if message.report is None or not message.report.from_problem:
        return None
    text = f"it hides whom it is from: {message.report.from_problem}"
    if message.report.from_is_crowded:
        return reject("from-unclear", text, "7.1", "Your message names more authors than are taken here")
    return Verdict(Action.JUNK, "from-unclear", text)


def by_signs(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    weight = sum(hit.weight for hit in message.lists)
    if weight < message.junk_weight:
        return None
    against = [hit for hit in message.lists if hit.weight > 0]
    names = ", ".join(hit.name for hit in against)
    details = tuple(f"{hit.name}: {hit.text} ({hit.weight:+g})" for hit in message.lists)
    if weight >= message.refused_weight:
        return reject(
            "listed", f"its sender's host is doubtful: {names}", "7.1", f"Your host is doubtful: {names}", details
        )
    if message.report and message.report.spf.result == "fail" and not _authenticated(message.report):
        text = f"its sender's host is doubtful ({names}), and neither SPF nor DKIM passes"
        told = f"Your host is doubtful ({names}), and neither SPF nor DKIM passes"
        return reject("listed", text, "7.26", told, details)
    return Verdict(Action.JUNK, "listed", f"its sender's host is doubtful: {names}", details)


def by_scan(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    scan = message.scan
    if scan is None:
        return None
    text = scan.reason or f"the scanner gave it a score of {scan.score:g}"
    match scan.action:
        case "reject":
            return reject("scanner", text, "7.1", "The content of this message is not taken here", scan.symbols)
        case "defer":
            reply = Reply(451, "7.1", "Not taken for now, try again later (scanner)")
            return Verdict(Action.DEFER, "scanner", text, scan.symbols, reply=reply)
        case "junk":
            return Verdict(Action.JUNK, "scanner", text, scan.symbols, is_certain=True)
    return None


def by_content(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    opinion = mailbox.opinion
    if opinion is None or opinion.probability is None or opinion.probability < JUNK_PROBABILITY:
        return None
    details = tuple(f"{word} {weight:+.2f}" for word, weight in opinion.clues)
    text = opinion.text or f"its words look like junk ({opinion.probability:.0%})"
    return Verdict(Action.JUNK, "content", text, details, is_certain=opinion.probability >= CERTAIN_PROBABILITY)


def by_spf(message: MessageFacts, mailbox: MailboxFacts) -> Verdict | None:
    report = message.report
    if report is None or report.spf.result != "fail" or _authenticated(report) or vouching_sealer(report):
        return None
    text = f"{report.spf.domain} says that {report.client_address} may not send for it, and no signature speaks for it"
    return Verdict(Action.JUNK, "spf-fail", text, (report.spf.reason,))


RULES: Sequence[Rule] = (
    by_rule,
    by_pretence,
    by_null_mx,
    by_dmarc,
    by_own_domain,
    by_standing,
    by_unclear_author,
    by_signs,
    by_scan,
    by_content,
    by_spf,
)


def reject(reason: str, text: str, detail: str, told: str, details: Iterable[str] = ()) -> Verdict:
    """Return a refusal for good. `told` is what the client hears, `detail` its enhanced code less the 5."""
    reply = Reply(550, detail, printable(f"{told} ({reason})"))
    return Verdict(Action.REJECT, reason, text, tuple(details), is_certain=True, reply=reply)


def vouching_sealer(report: AuthReport) -> str:
    """The sealer whom the site trusts and who says that the author's domain stood behind the message, or ""."""
    claims = report.arc.claims
    told = any(claim.startswith("dmarc=") for claim in claims)
    vouches = "dmarc=pass" in claims or (not told and "dkim=pass" in claims)
    return report.arc.trusted_by if vouches else ""


def unproved_own_domain(report: AuthReport, own_domains: Collection[str]) -> str:
    """Which of our domains the message names as an author's or in its reverse-path without any proof, or "".

    The author's is proved by DMARC, a domain that has no record by SPF or DKIM of its own; the reverse-path's by SPF,
    or by a signature of that domain, which survives forwarding. One that we rewrote (SRS) has been to other hosts, and
    no reader sees it. Where DNS was in trouble about one of them nobody knows."""
    doubtful = {check.domain for check in report.dkim if check.result == "temperror"}
    if report.spf.result == "temperror":
        doubtful.add(report.spf.domain)
    if report.dmarc.result == "temperror":
        doubtful.add(report.dmarc.from_domain)
    if authors := _unproved_authors(report, own_domains):
        certain = (domain for domain in authors if domain not in doubtful)
        return "" if "signatures" in report.unfinished else next(certain, "")
    local_part, _, sender = report.mail_from.rpartition("@")
    sender = "" if is_srs(local_part) else sender.lower()
    if sender in own_domains and report.spf.result not in ("pass", "temperror"):
        unknown = sender in doubtful or "signatures" in report.unfinished
        return "" if unknown or sender in report.dkim_domains else sender
    return ""


def _unproved_authors(report: AuthReport, own_domains: Collection[str]) -> list[str]:
    """Of several authors each must be proved by SPF or a signature of its own domain: DMARC's result is about one."""
    if report.is_author_authentic:
        return []
    proved = {report.spf_domain, *report.dkim_domains} if report.from_problem else set()
    return [domain for domain in report.author_domains if domain in own_domains and domain not in proved]


def _is_wanted(standing: StandingFact, report: AuthReport | None) -> bool:
    """That it answers somebody proves nothing of a From that names several authors, one of whom is shown."""
    is_clear = report is None or not report.from_problem
    return standing.label == "wanted" and (is_clear or standing.rung in AUTHENTIC_RUNGS)


def _authenticated(report: AuthReport) -> bool:
    return report.dmarc.result == "pass" or report.spf.result == "pass" or bool(report.dkim_domains)


def _local(message: MessageFacts) -> str:
    """How a report calls it that we did not do as the author's domain asks."""
    report = message.report
    return "local_policy" if report and report.dmarc.disposition_asked != "none" else ""
