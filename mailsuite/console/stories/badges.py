"""What became of a message's recipients, in short: badges for lists, and the first address of many."""

from collections.abc import Iterable, Sequence

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from mailsuite.trace import fates


def shares_as_badges(shares: Iterable[fates.Share]) -> SafeString:
    """How a story's recipients fared, each way a badge."""
    every = list(shares)
    return format_html_join(
        " ",
        '<span class="ms-badge ms-{}">{}</span>',
        ((one.tone, _label(one, alone=len(every) == 1)) for one in every),
    )


def recipients_in_short(shares: Sequence[fates.Share]) -> str:
    """The first recipient, and how many more there are."""
    first, more = first_recipient(shares)
    return f"{first} and {more} more" if first and more else first


def first_recipient(shares: Sequence[fates.Share]) -> tuple[str, int]:
    """The first of the recipients by their addresses, "" where none has one, and how many more there are."""
    named = [one.address for one in shares if one.address]
    return min(named, default=""), sum(one.count for one in shares) - 1


def _label(share: fates.Share, *, alone: bool) -> str:
    label = str(share.fate.label)
    if share.tries:
        label += f", {share.tries}"
    return label if alone or share.count == 1 else f"{share.count} {label[:1].lower()}{label[1:]}"
