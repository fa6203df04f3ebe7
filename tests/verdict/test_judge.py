"""The order in which verdicts are found, rule by rule."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailsuite.authcheck.report import ArcCheck, AuthReport, DkimCheck, IprevCheck, SpfCheck
from mailsuite.mailauth.dmarc import DmarcOutcome
from mailsuite.verdict.conclude import Forward, conclude
from mailsuite.verdict.facts import (
    ListHit,
    MailboxFacts,
    MessageFacts,
    OpinionFact,
    RuleHit,
    ScanFact,
    StandingFact,
)
from mailsuite.verdict.judge import judge
from mailsuite.verdict.verdict import Action, MailboxVerdict, Verdict

PASSED = AuthReport(
    client_address="192.0.2.1",
    helo="mail.far.test",
    mail_from="x@far.test",
    from_address="x@far.test",
    checked_at=datetime(2026, 11, 24, tzinfo=UTC),
    iprev=IprevCheck("pass"),
    spf=SpfCheck("mailfrom", "far.test", "pass"),
    spf_helo=SpfCheck("helo", "mail.far.test", "pass"),
    dmarc=DmarcOutcome("pass", "far.test", "far.test", "far.test", "reject"),
    arc=ArcCheck("none"),
    dkim=(DkimCheck("pass", domain="far.test", is_aligned=True),),
)
FAILED = replace(
    PASSED,
    spf=SpfCheck("mailfrom", "evil.test", "pass"),
    dkim=(),
    dmarc=DmarcOutcome("fail", "far.test", "far.test", "far.test", "reject", "reject"),
)
QUARANTINED = replace(FAILED, dmarc=replace(FAILED.dmarc, policy="quarantine", disposition_asked="quarantine"))
MONITORED = replace(FAILED, dmarc=replace(FAILED.dmarc, policy="none", disposition_asked="none"))
UNCERTAIN = replace(FAILED, dmarc=replace(FAILED.dmarc, result="temperror", disposition_asked="none"))
SEALED = replace(FAILED, arc=ArcCheck("pass", trusted_by="lists.test", claims=("spf=pass", "dmarc=pass")))
NO_PASS = replace(
    PASSED, spf=SpfCheck("mailfrom", "far.test", "fail", "not in -all"), dkim=(), dmarc=DmarcOutcome("none", "far.test")
)
NO_MAIL = replace(PASSED, sender_takes_no_mail=True)
TWO_AUTHORS = replace(PASSED, from_problem="From has addresses of several domains", dmarc=DmarcOutcome("none", ""))
CROWDED = replace(TWO_AUTHORS, from_is_crowded=True)
ONE_FORGED = replace(FAILED, from_problem=TWO_AUTHORS.from_problem)
AND_OURS = replace(
    TWO_AUTHORS, from_addresses=("x@else.test", "ann@far.test"), spf=SpfCheck("mailfrom", "else.test", "pass"), dkim=()
)
OURS = frozenset({"far.test"})
FORGED_OWN = replace(MONITORED, mail_from="x@evil.test")
NO_RECORD, TEMPERROR = DmarcOutcome("none", "far.test"), DmarcOutcome("temperror", "far.test")
SPF_FAILS = SpfCheck("mailfrom", "far.test", "softfail")
OWN_DKIM = (DkimCheck("pass", domain="far.test"),)
BROKEN_DKIM = (DkimCheck("temperror", domain="far.test"),)
STRANGE_DKIM = (DkimCheck("temperror", domain="evil.test"),)
BORROWED = replace(PASSED, spf=SPF_FAILS, dkim=(), dmarc=DmarcOutcome("pass", "else.test"))
SEAL = ArcCheck("pass", trusted_by="lists.test", claims=("dmarc=pass",))
ANSWER = StandingFact("wanted", "reply", "it answers a message that this mailbox sent")
WANTED_LIST = StandingFact("wanted", "dkim", "you put 9 of 9 messages that lists.test signs to the inbox")
ALLOW, JUNK, BLOCK = (RuleHit(action, "mailbox", "far.test") for action in ("allow", "junk", "block"))
WANTED = StandingFact("wanted", "author", "you wrote to x@far.test")
UNWANTED = StandingFact("unwanted", "domain", "you put 9 of 9 messages from far.test to Junk")
SPAMMY = OpinionFact(0.97, (("viagra", 3.2), ("meeting", -0.4)))
LISTED = (ListHit("zen.test", 1.0, "listed"),)
VERY_LISTED = (*LISTED, ListHit("other.test", 1.0, "listed"))
VOUCHED = (*VERY_LISTED, ListHit("white.test", -2.0, "vouches"))

INBOX, TO_JUNK, REFUSED, PUT_OFF = Action.INBOX, Action.JUNK, Action.REJECT, Action.DEFER


@pytest.mark.parametrize(
    ("message", "mailbox", "action", "reason", "code"),
    [
        # 10. nothing speaks against it
        ({}, {}, INBOX, "ordinary", ""),
        ({"report": None}, {}, INBOX, "ordinary", ""),
        # 1. rules come first
        ({}, {"rule": BLOCK}, REFUSED, "block-rule", "5.7.1"),
        ({}, {"rule": BLOCK, "standing": WANTED}, REFUSED, "block-rule", "5.7.1"),
        ({}, {"rule": JUNK, "standing": WANTED}, TO_JUNK, "junk-rule", ""),
        ({"report": FAILED}, {"rule": ALLOW}, INBOX, "allow-rule", ""),
        ({"report": NO_MAIL}, {"rule": ALLOW}, INBOX, "allow-rule", ""),
        ({"scan": ScanFact("reject")}, {"rule": ALLOW, "opinion": SPAMMY}, INBOX, "allow-rule", ""),
        # 2. null MX
        ({"report": NO_MAIL}, {"standing": WANTED}, REFUSED, "sender-null-mx", "5.7.27"),
        # 4. in the name of a domain of ours
        ({"report": FORGED_OWN, "own_domains": OURS}, {}, TO_JUNK, "own-domain-forged", ""),
        ({"report": replace(FORGED_OWN, dmarc=NO_RECORD), "own_domains": OURS}, {}, TO_JUNK, "own-domain-forged", ""),
        ({"report": FORGED_OWN}, {}, INBOX, "ordinary", ""),
        ({"report": FORGED_OWN, "own_domains": OURS}, {"rule": ALLOW}, INBOX, "allow-rule", ""),
        ({"report": FORGED_OWN, "own_domains": OURS}, {"standing": WANTED}, TO_JUNK, "own-domain-forged", ""),
        ({"report": FORGED_OWN, "own_domains": OURS}, {"standing": ANSWER}, TO_JUNK, "own-domain-forged", ""),
        ({"report": FORGED_OWN, "own_domains": OURS}, {"standing": WANTED_LIST}, INBOX, "wanted-sender", ""),
        ({"report": FORGED_OWN, "own_domains": OURS, "is_list_known": True}, {}, INBOX, "ordinary", ""),
        ({"report": FORGED_OWN, "own_domains": OURS, "is_own_post": True}, {}, INBOX, "ordinary", ""),
        ({"report": replace(FORGED_OWN, arc=SEAL), "own_domains": OURS}, {}, INBOX, "ordinary", ""),
        ({"report": PASSED, "own_domains": OURS}, {}, INBOX, "ordinary", ""),
        # Forwarded: SPF breaks, our signature stays.
        ({"report": replace(PASSED, spf=SPF_FAILS), "own_domains": OURS}, {}, INBOX, "ordinary", ""),
        (
            {"report": replace(FORGED_OWN, dmarc=NO_RECORD, dkim=OWN_DKIM), "own_domains": OURS},
            {},
            INBOX,
            "ordinary",
            "",
        ),
        # DNS in trouble about our own domain is no proof; about another's, it is no excuse.
        ({"report": replace(FORGED_OWN, dmarc=TEMPERROR), "own_domains": OURS}, {}, INBOX, "ordinary", ""),
        ({"report": replace(FORGED_OWN, dkim=BROKEN_DKIM), "own_domains": OURS}, {}, INBOX, "ordinary", ""),
        ({"report": replace(FORGED_OWN, dkim=STRANGE_DKIM), "own_domains": OURS}, {}, TO_JUNK, "own-domain-forged", ""),
        # The reverse-path alone
        ({"report": BORROWED, "own_domains": OURS}, {}, TO_JUNK, "own-domain-forged", ""),
        ({"report": replace(BORROWED, dkim=OWN_DKIM), "own_domains": OURS}, {}, INBOX, "ordinary", ""),
        (
            {"report": replace(BORROWED, mail_from="SRS0=a=b=else.test=x@far.test"), "own_domains": OURS},
            {},
            INBOX,
            "ordinary",
            "",
        ),
        ({"report": replace(BORROWED, mail_from=""), "own_domains": OURS}, {}, INBOX, "ordinary", ""),
        # What DMARC asks for comes before.
        ({"report": FAILED, "own_domains": OURS}, {}, REFUSED, "dmarc-reject", "5.7.1"),
        # 3. DMARC
        ({"report": FAILED}, {}, REFUSED, "dmarc-reject", "5.7.1"),
        ({"report": FAILED}, {"standing": UNWANTED}, REFUSED, "dmarc-reject", "5.7.1"),
        ({"report": FAILED}, {"standing": WANTED}, INBOX, "wanted-sender", ""),
        ({"report": FAILED, "is_list_known": True}, {}, TO_JUNK, "dmarc-reject", ""),
        ({"report": SEALED}, {}, INBOX, "trusted-forwarder", ""),
        (
            {"report": replace(SEALED, arc=replace(SEALED.arc, claims=("dmarc=fail", "dkim=pass")))},
            {},
            REFUSED,
            "dmarc-reject",
            "5.7.1",
        ),
        (
            {"report": replace(SEALED, arc=replace(SEALED.arc, claims=("dkim=pass",)))},
            {},
            INBOX,
            "trusted-forwarder",
            "",
        ),
        ({"report": replace(SEALED, arc=replace(SEALED.arc, trusted_by=""))}, {}, REFUSED, "dmarc-reject", "5.7.1"),
        ({"report": QUARANTINED}, {}, TO_JUNK, "dmarc-quarantine", ""),
        ({"report": QUARANTINED}, {"standing": WANTED}, INBOX, "wanted-sender", ""),
        ({"report": replace(SEALED, dmarc=QUARANTINED.dmarc)}, {}, INBOX, "trusted-forwarder", ""),
        ({"report": MONITORED}, {}, INBOX, "ordinary", ""),
        ({"report": UNCERTAIN}, {}, INBOX, "ordinary", ""),
        # 4. reputation before content, lists and scanners
        (
            {"scan": ScanFact("reject"), "lists": VERY_LISTED},
            {"standing": WANTED, "opinion": SPAMMY},
            INBOX,
            "wanted-sender",
            "",
        ),
        ({}, {"standing": UNWANTED}, TO_JUNK, "unwanted-sender", ""),
        # 5. who wrote it?
        ({"report": replace(PASSED, from_problem="there is no From field")}, {}, TO_JUNK, "from-unclear", ""),
        # That it answers a message says nothing of which of its authors wrote it; what authenticates does.
        ({"report": TWO_AUTHORS}, {"standing": ANSWER}, TO_JUNK, "from-unclear", ""),
        ({"report": TWO_AUTHORS}, {"standing": WANTED_LIST}, INBOX, "wanted-sender", ""),
        ({"report": CROWDED}, {}, REFUSED, "from-unclear", "5.7.1"),
        ({"report": ONE_FORGED}, {}, REFUSED, "dmarc-reject", "5.7.1"),
        ({"report": ONE_FORGED}, {"standing": ANSWER}, REFUSED, "dmarc-reject", "5.7.1"),
        ({"report": ONE_FORGED}, {"standing": WANTED_LIST}, INBOX, "wanted-sender", ""),
        # One of several authors is ours, and not proved.
        ({"report": AND_OURS, "own_domains": OURS}, {"standing": ANSWER}, TO_JUNK, "own-domain-forged", ""),
        ({"report": replace(AND_OURS, dkim=OWN_DKIM), "own_domains": OURS}, {}, TO_JUNK, "from-unclear", ""),
        # 6. lists by weight
        ({"lists": LISTED}, {}, TO_JUNK, "listed", ""),
        ({"lists": VERY_LISTED}, {}, REFUSED, "listed", "5.7.1"),
        ({"lists": VOUCHED}, {}, INBOX, "ordinary", ""),
        ({"lists": (ListHit("small.test", 0.5),)}, {}, INBOX, "ordinary", ""),
        ({"lists": LISTED, "report": NO_PASS}, {}, REFUSED, "listed", "5.7.26"),
        # 7. scanners
        ({"scan": ScanFact("reject")}, {}, REFUSED, "scanner", "5.7.1"),
        ({"scan": ScanFact("defer")}, {}, PUT_OFF, "scanner", "4.7.1"),
        ({"scan": ScanFact("junk", 7.5)}, {}, TO_JUNK, "scanner", ""),
        ({"scan": ScanFact("accept", -3)}, {}, INBOX, "ordinary", ""),
        # 8. content
        ({}, {"opinion": SPAMMY}, TO_JUNK, "content", ""),
        ({}, {"opinion": OpinionFact(0.89)}, INBOX, "ordinary", ""),
        ({}, {"opinion": OpinionFact(None)}, INBOX, "ordinary", ""),
        ({}, {"opinion": SPAMMY, "standing": StandingFact("unknown")}, TO_JUNK, "content", ""),
        # 9. SPF alone never refuses
        ({"report": NO_PASS}, {}, TO_JUNK, "spf-fail", ""),
        ({"report": replace(NO_PASS, dkim=(DkimCheck("pass", domain="other.test"),))}, {}, INBOX, "ordinary", ""),
        ({"report": replace(NO_PASS, spf=SpfCheck("mailfrom", "far.test", "softfail"))}, {}, INBOX, "ordinary", ""),
        ({"report": replace(NO_PASS, spf=SpfCheck("mailfrom", "far.test", "temperror"))}, {}, INBOX, "ordinary", ""),
    ],
)
def test_rule(message, mailbox, action, reason, code):
    verdict = judge(MessageFacts(**{"report": PASSED, **message}), MailboxFacts(**mailbox))
    assert (verdict.action, verdict.reason) == (action, reason)
    assert (verdict.reply.enhanced_code if verdict.reply else "") == code
    if verdict.reply:
        assert str(verdict.reply).endswith(f"({reason})")
    assert verdict.sentence.endswith(".") and ".." not in verdict.sentence


@pytest.mark.parametrize(
    ("message", "mailbox", "override"),
    [
        ({"report": FAILED}, {}, ""),
        ({"report": FAILED}, {"rule": ALLOW}, "local_policy"),
        ({"report": PASSED}, {"rule": ALLOW}, ""),
        ({"report": FAILED}, {"standing": WANTED}, "local_policy"),
        ({"report": FAILED, "is_list_known": True}, {}, "mailing_list"),
        ({"report": SEALED}, {}, "trusted_forwarder"),
        ({"report": QUARANTINED}, {}, ""),
    ],
)
def test_reports_learn_why_a_policy_was_not_followed(message, mailbox, override):
    assert judge(MessageFacts(**message), MailboxFacts(**mailbox)).dmarc_override == override


def test_the_filter_s_words_are_small_print():
    verdict = judge(MessageFacts(PASSED), MailboxFacts(opinion=SPAMMY))
    assert verdict.details == ("viagra +3.20", "meeting -0.40")
    assert verdict.sentence == "In Junk because its words look like junk (97%)."


def test_a_forged_domain_cannot_break_the_reply():
    report = replace(FAILED, dmarc=replace(FAILED.dmarc, from_domain="far\r\n250 .test"))
    reply = str(judge(MessageFacts(report), MailboxFacts()).reply)
    assert "\r" not in reply and "\n" not in reply


INBOXED, JUNKED = Verdict(INBOX, "ordinary"), Verdict(TO_JUNK, "content")
CERTAIN = Verdict(TO_JUNK, "scanner", is_certain=True)
REJECTED = judge(MessageFacts(FAILED), MailboxFacts())
DEFERRED = judge(MessageFacts(scan=ScanFact("defer")), MailboxFacts())


@pytest.mark.parametrize(
    ("copies", "forwards", "whole", "each", "stopped"),
    [
        ([INBOXED], [], INBOX, [INBOX], 0),
        ([JUNKED], [], TO_JUNK, [TO_JUNK], 0),
        ([INBOXED, JUNKED], [], INBOX, [INBOX, TO_JUNK], 0),
        ([REJECTED], [], REFUSED, [REFUSED], 0),
        ([REJECTED, REJECTED], [], REFUSED, [REFUSED, REFUSED], 0),
        # refusing for one must not take it from another
        ([REJECTED, INBOXED], [], INBOX, [TO_JUNK, INBOX], 0),
        ([REJECTED, JUNKED], [], TO_JUNK, [TO_JUNK, TO_JUNK], 0),
        # putting it off takes nothing from anybody
        ([INBOXED, DEFERRED], [], PUT_OFF, [PUT_OFF, PUT_OFF], 0),
        # forwards
        ([], [INBOXED], INBOX, [], 0),
        ([], [JUNKED], TO_JUNK, [], 0),
        ([], [CERTAIN], REFUSED, [], 1),
        ([], [REJECTED], REFUSED, [], 1),
        ([INBOXED], [REJECTED], INBOX, [INBOX], 1),
        ([CERTAIN], [CERTAIN], TO_JUNK, [TO_JUNK], 1),
        ([REJECTED], [INBOXED], INBOX, [TO_JUNK], 0),
        ([], [CERTAIN, INBOXED], INBOX, [], 1),
    ],
)
def test_one_answer_for_all(copies, forwards, whole, each, stopped):
    found = conclude(
        [MailboxVerdict(f"m{at}@x.test", verdict, at) for at, verdict in enumerate(copies)],
        [Forward(f"f{at}@x.test", verdict) for at, verdict in enumerate(forwards)],
    )
    assert found.whole.action is whole
    assert [one.verdict.action for one in found.mailboxes] == each
    assert len(found.not_forwarded) == stopped
    assert (found.whole.reply is not None) is (whole in (REFUSED, PUT_OFF))


def test_junk_in_place_of_a_dmarc_reject_is_told_in_reports():
    found = conclude([MailboxVerdict("a@x.test", REJECTED, 1), MailboxVerdict("b@x.test", INBOXED, 2)])
    softened = found.mailboxes[0].verdict
    assert (softened.dmarc_override, softened.reason) == ("local_policy", "dmarc-reject")
