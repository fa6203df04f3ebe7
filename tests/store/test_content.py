"""What a Content row keeps of its message, and by which version."""

import pytest
from django.db import connection

from mailsuite.database.sql import Update
from mailsuite.store import content
from mailsuite.store.models import Content, Folder
from mailsuite.store.operations import Append, AppendItem
from mailsuite.writer.reading import summarize
from mailsuite.writer.run import execute
from mailsuite.writer.storage import mail_storage

pytestmark = pytest.mark.django_db(transaction=True)
MESSAGE = b"Message-ID: <a@b>\r\nSubject: x\r\nDate: Mon, 2 Mar 2026 03:04:05 +0100\r\n\r\nbody\r\n"


def append(mailbox) -> Content:
    inbox = Folder.objects.get(mailbox=mailbox, role="inbox")
    execute(Append(mailbox.pk, inbox.pk, [AppendItem.carrying(MESSAGE)]))
    return Content.objects.latest("pk")


def test_a_row_says_by_which_version_it_was_filled(mailbox, monkeypatch):
    assert append(mailbox).reading_version == content.READING_VERSION
    monkeypatch.setattr(content, "READING_VERSION", 7)
    assert append(mailbox).reading_version == 7


def test_what_comes_from_reading_can_be_made_anew_from_the_blob(mailbox):
    row = append(mailbox)
    with mail_storage().open(row.blob) as blob:
        anew = content.columns(summarize(blob.read()))
    Content.objects.filter(pk=row.pk).update(**dict.fromkeys(("envelope", "body_structure", "parts"), b""), subject="")
    with connection.cursor() as cursor:
        Update(Content, *anew).run(cursor, [(*anew.values(), row.pk)])
    before, after = (
        {field.name: getattr(one, field.name) for field in Content._meta.concrete_fields}
        for one in (row, Content.objects.get())
    )
    assert before == after
    assert anew.keys() | {"id", "blob", "received_at"} == before.keys()
