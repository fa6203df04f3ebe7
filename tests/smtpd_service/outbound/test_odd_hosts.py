"""The client before hosts that answer oddly, judged by what those mean: nothing lost, nobody bounced for another.

Without sockets, each host from its number; a failure names the number. ODD_STREAMS makes it more of them.
"""

import os
from collections import deque

import pytest
from odd_hosts import GOOD, OddHost, Stream, can_be_told, make_stream

from mailsuite.mail.envelope import Envelope, EnvelopeRecipient
from smtpd_service.outbound.smtp_client import SmtpClient, State
from smtpd_service.outbound.transaction import BodyWanted, Fate, Mail, Ready, Sent, SessionFailed, StartTls

STREAMS = int(os.environ.get("ODD_STREAMS", "1000"))
BODY = b"Subject: x\r\n\r\nHello\r\n"
# Oddities that keep no mail from getting through: what is good at every step is delivered.
HARMLESS = (
    *("blank before", "blank after", "mixed codes of one class", "a long line", "many lines", "line feeds alone"),
    *("a bare CR", "a NUL", "8-bit text", "the code alone"),
)
# And where one reply alone is awaited.
HARMLESS_ONE_BY_ONE = (
    *("text before", "text after", "a line without code", "no blank after the code", "a leading blank"),
    *("mixed classes", "1yz before", "9yz before"),
)


def converse(host, client, mails):
    """Lets them talk until nothing moves; the outcomes of each mail. A client that waits in vain is told so."""
    outcomes, mails, said = [], deque(mails), host.greet()
    for _ in range(1000):
        if said:
            client.receive_data(said)
        elif host.closed:
            client.receive_data(b"")
        while event := client.next_event():
            match event:
                case Ready():
                    client.send(mails.popleft())
                case BodyWanted():
                    client.send_body(BODY)
                    client.end_body()
                case Sent(found):
                    outcomes.append(found)
                    if mails and client.is_ready:
                        client.send(mails.popleft())
                case SessionFailed() if not outcomes:
                    return outcomes
        if client.state in (State.CLOSED, State.READY) and (client.state is State.CLOSED or not mails or outcomes):
            return outcomes
        data = client.data_to_send()
        said = host.receive(data) if not host.closed else b""
        if not said and not data and not host.closed:
            client.timed_out()
    raise AssertionError("they go on for ever")


def mail_of(stream, addresses=None):
    return Mail(Envelope("ann@us.test"), [EnvelopeRecipient(one) for one in addresses or stream.addresses], len(BODY))


def client_for(stream, **how):
    return SmtpClient(helo="us.test", starttls=StartTls.OFFERED, host="odd.test", **how)


def judge(stream, host, outcomes):
    """What must hold of a message's outcomes, whatever the host said."""
    for index, (address, outcome) in enumerate(zip(stream.addresses, outcomes, strict=True)):
        told = f"{stream}: {address} {outcome}"
        if outcome.fate is Fate.DELIVERED:
            assert host.taken.count(address) == 1, f"lost: {told}"
        if outcome.fate is Fate.NEVER:
            assert stream.may_bounce(index), f"bounced for another: {told}"
        if address in host.taken and host.has_answered_dot:
            assert outcome.fate is Fate.DELIVERED, f"would be sent twice: {told}"


@pytest.mark.parametrize("pipelines", [True, False])
def test_nothing_is_lost_bounced_for_another_or_sent_twice(pipelines):
    for number in range(STREAMS):
        stream = make_stream(number)
        host = OddHost(stream)
        found = converse(host, client_for(stream, pipelines=pipelines), [mail_of(stream)])
        if found and can_be_told(stream):
            judge(stream, host, found[0])


def test_what_harms_nobody_keeps_no_mail_back():
    delivered = 0
    for number in range(STREAMS):
        stream = make_stream(number)
        pipelines = stream.pipelining and not set(stream.odd.values()) & set(HARMLESS_ONE_BY_ONE)
        host = OddHost(stream)
        found = converse(host, client_for(stream, pipelines=pipelines), [mail_of(stream)])
        is_good = stream.sender == stream.data == stream.final == GOOD
        if is_good and set(stream.odd.values()) <= {*HARMLESS, *HARMLESS_ONE_BY_ONE}:
            fates = [outcome.fate for outcome in found[0]]
            assert [fate is Fate.DELIVERED for fate in fates] == [one == GOOD for one in stream.recipients], stream
            delivered += 1
    assert delivered > STREAMS // 20


def test_a_session_that_goes_on_after_an_odd_reply_harms_no_other_message():
    """Two messages over one connection, to recipients whom the host takes, refuses and puts off."""
    both = 0
    for number in range(STREAMS):
        stream = make_stream(number)
        if not can_be_told(stream):
            continue
        twice = OnlyFirst(stream)
        found = converse(twice, client_for(stream), [mail_of(stream), mail_of(stream)])
        for index, outcomes in enumerate(found):
            for position, outcome in enumerate(outcomes):
                if outcome.fate is Fate.NEVER:
                    assert stream.may_bounce(position), f"message {index} of {stream}: {outcome}"
        delivered = sum(outcome.fate is Fate.DELIVERED for outcomes in found for outcome in outcomes)
        assert delivered <= len(twice.taken), f"lost: {stream}"
        both += len(found) == 2
    assert both > STREAMS // 10


class OnlyFirst(OddHost):
    """Odd in its first message alone: what it says late meets the second."""

    def _say(self, place, *lines):
        said = super()._say(place, *lines)
        if place == "dot":
            self.stream = Stream(
                self.stream.number,
                self.stream.pipelining,
                self.stream.sender,
                self.stream.recipients,
                self.stream.data,
                self.stream.final,
            )
        return said
