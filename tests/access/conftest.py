import pytest
from people import administrator, ann, domain, one_connection, quick_hashes

from mailsuite.access.ban_list import BAN_LIST

__all__ = ["administrator", "ann", "domain", "one_connection", "quick_hashes"]


@pytest.fixture
def bans(db):
    """The ban list of this process, empty before and afterwards."""
    BAN_LIST.forget()
    yield BAN_LIST
    BAN_LIST.forget()
