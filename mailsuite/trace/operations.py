"""What stories are made of, and the operation that tells one of mail that was refused."""

from datetime import datetime

from msgspec import Struct

from mailsuite.writer.operation import Operation


class EventFacts(Struct, frozen=True):
    """A trace.Event to be. `text` is for people."""

    kind: str
    address: str = ""
    reason: str = ""
    text: str = ""
    domain_id: int | None = None
    mailbox_id: int | None = None


class StoryFacts(Struct, frozen=True):
    """A trace.Story to be; what stands in the message itself (subject, From, Message-ID) the store adds.

    `story_id` is drawn by the caller (mailsuite.ids), who needs it for the Received field and the reply.
    `data` is JSON.
    """

    story_id: int
    kind: str
    outcome: str
    at: datetime
    reason: str = ""
    client_address: str = ""
    client_name: str = ""
    reverse_path: str = ""
    sender_domain_id: int | None = None
    sender_mailbox_id: int | None = None
    subject: str = ""
    from_text: str = ""
    message_id: str = ""
    size_octets: int = 0
    data: str = "{}"
    events: list[EventFacts] = []


class TellStory(Operation[None], frozen=True, tag=True):
    """A refusal or failed connection: buffered, written within a second, may be lost in a crash. A `count` above one
    makes it the example of so many alike."""

    story: StoryFacts
    network: str
    count: int = 1
