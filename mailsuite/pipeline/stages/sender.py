"""Stages at MAIL: may this client bring a message now, from this sender?"""

from mailsuite.pipeline import decisions
from mailsuite.pipeline.transaction import Answer, Transaction


async def connection_share(transaction: Transaction) -> Answer:
    """Refuses more messages than one connection may bring."""
    is_over = transaction.client.messages >= transaction.services.messages_per_connection
    return decisions.TOO_MANY_MESSAGES if is_over else None


async def disk_room(transaction: Transaction) -> Answer:
    """Puts off what the disk has no room for, going by the size that was announced."""
    return transaction.services.lacks_room(transaction.announced_octets)


async def login_holds(transaction: Transaction) -> Answer:
    """Refuses those whose login has ended since they logged in."""
    submitter = transaction.client.submitter
    if submitter is None or not await transaction.services.directory.still_holds(submitter):
        return decisions.LOGIN_REVOKED
    return None


async def daily_caps(transaction: Transaction) -> Answer:
    """Puts off who is far over their day's caps; what is a little over is held in the queue instead."""
    submitter = transaction.client.submitter
    if submitter and submitter.mailbox_id:
        if await transaction.services.directory.has_sent_too_much(submitter.mailbox_id):
            return decisions.SENT_TOO_MUCH
    return None


async def own_sender(transaction: Transaction) -> Answer:
    """Refuses a reverse-path that is not the submitter's. The null path is for receipts and vacation answers (RFC 3798
    §3, RFC 3834 §3.3); From is checked all the same."""
    submitter, address = transaction.client.submitter, transaction.reverse_path.address
    assert submitter is not None
    if address is None or await transaction.services.directory.may_send_as(submitter.user_id, address):
        return None
    return decisions.SENDER_NOT_OWNED


async def begin_evaluation(transaction: Transaction) -> Answer:
    """Asks what can be asked before the message is there."""
    if evaluator := transaction.services.evaluator:
        transaction.ongoing = evaluator.begin(transaction.client, transaction.reverse_path)
    return None
