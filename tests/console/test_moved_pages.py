"""Pages whose rows have come to other apps: their old addresses lead to where they are."""

import pytest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/admin/abuse/ban/?q=192.0.2.1", "/admin/access/ban/?q=192.0.2.1"),
        ("/admin/abuse/ban/7/change/", "/admin/access/ban/7/change/"),
        ("/admin/abuse/allowednetwork/add/", "/admin/access/allowednetwork/add/"),
        ("/admin/records/dkimkey/?q=example.org", "/admin/signing/dkimkey/?q=example.org"),
    ],
)
def test_an_old_address_leads_to_the_same_page(as_superuser, old, new):
    answer = as_superuser.get(old)
    assert (answer.status_code, answer["Location"]) == (302, new)


def test_other_pages_of_the_same_apps_stay(as_superuser):
    assert as_superuser.get("/admin/abuse/alarm/").status_code == 200
