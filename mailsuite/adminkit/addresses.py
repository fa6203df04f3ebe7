"""Addresses of any length where there is little room: in columns and on buttons."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

# As much stands of each part of an address in a column, and of an address on a button.
PART, BUTTON = 28, 36


def address_in_list(address: str, more: str = "") -> SafeString:
    """For a column: it may be parted before its domain. Of long parts the ends; the whole is shown when it is pointed
    at. `more` stands behind it."""
    local_part, at, domain = address.partition("@")
    short = format_html("{}<wbr>{}{}", _shortened(local_part, PART), at, _shortened(domain, PART))
    whole = format_html(' title="{}"', address) if "…" in short else ""
    return format_html('<span class="ms-wrap ms-short"{}>{}{}</span>', whole, short, more)


def shorten_address(address: str) -> str:
    """For a button: the address, of a long one its ends."""
    return _shortened(address, BUTTON)


def _shortened(text: str, most: int) -> str:
    """Of a long text the beginning and more of the end, which of a domain says most."""
    return text if len(text) <= most else f"{text[: most // 3]}…{text[-(most - most // 3 - 1) :]}"
