"""The guide in the admin: every page leads to a section that is there, and chapters look as they are meant."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from mailsuite.console import manual, theme
from mailsuite.console.markdown import anchor, render
from mailsuite.directory.models import User

FILES = {path.stem: path.read_text() for path in manual.FOLDER.glob("*.md")}
FILES[manual.SETTINGS] = manual.settings_chapter(manual.EXAMPLE.read_text())


@pytest.fixture
def client(db):
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.create_superuser("boss@example.org", "a long password"))
    return client


def test_every_chapter_is_in_the_list():
    assert set(manual.CHAPTERS) == set(FILES)


def test_every_list_of_the_menu_leads_to_a_section_that_is_there():
    for tab in theme.PAGES:
        page = manual.chapter_of(str(tab.link))
        chapter, _, section = page.partition("#")
        assert not section or section in sections_of(FILES[chapter]), (tab.title, page)
    for page in (*manual.BY_PAGE.values(), manual.chapter_of("/admin/directory/mailbox/1/ask/rename/")):
        chapter, _, section = page.partition("#")
        assert not section or section in sections_of(FILES[chapter]), page
    assert manual.chapter_of("/admin/directory/domain/1/ask/remove/").startswith("mailboxes#forwarding")
    assert manual.chapter_of(reverse("delivery-test")).startswith("certificates#")
    assert manual.chapter_of(reverse("admin:index")) == manual.chapter_of("/admin/what/else/") == ""


@pytest.mark.parametrize("name", manual.CHAPTERS)
def test_a_chapter_is_a_page_and_its_links_lead_on(client, name):
    page = client.get(reverse("guide-chapter", args=[name])).content.decode()
    article = page.split("<article>")[1].split("</article>")[0]
    assert len(article) > 500 and "](" not in article and "```" not in article and "<p>|" not in article
    for link in re.findall(r'href="([^"]+)"', article):
        path, _, section = link.partition("#")
        target = FILES[path.removeprefix("/admin/guide/").strip("/") or name]
        assert link.startswith("https://") or not section or section in sections_of(target), link


def sections_of(text):
    return {anchor(title) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def test_pages_lead_to_their_chapter_and_strangers_nowhere(client):
    page = client.get(reverse("admin:queue_route_changelist")).content.decode()
    assert 'href="/admin/guide/queue/#a-smarthost"' in page
    contents = client.get(reverse("guide")).content.decode()
    assert 'href="/admin/guide/start/"' in contents and "Guide to this page" in page and "Guide to" not in contents
    assert client.get("/admin/guide/no-such-chapter/").status_code == 404
    assert Client(SERVER_NAME="localhost").get(reverse("guide")).status_code == 302


def test_the_settings_are_a_chapter_too(client):
    page = client.get(reverse("guide-chapter", args=["settings"])).content.decode()
    assert "<code>#MAILSUITE_WORKERS=1</code>" in page and "<p>Processes each for SMTP" in page
    assert page.count("<pre") == len(re.findall(r"(?m)^(?!# )\S.*\n(?=# |\n|\Z)", manual.EXAMPLE.read_text()))
    assert 'href="/admin/guide/settings/"' in client.get(reverse("guide-chapter", args=["reference"])).content.decode()


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\ntwo <b>", "<p>one two &lt;b&gt;</p>"),
        ("`<a> *b*` **c** *d* 2*3*4", "<p><code>&lt;a&gt; *b*</code> <strong>c</strong> <em>d</em> 2<em>3</em>4</p>"),
        ("## Ports & *all*\ntext", '<h2 id="ports--all">Ports &amp; <em>all</em></h2>\n<p>text</p>'),
        ("    a\n\n    b\nc", '<pre tabindex="0"><code>a\n\nb</code></pre>\n<p>c</p>'),
        ("```python\na\n\n# b\n```\nc", '<pre tabindex="0"><code>a\n\n# b</code></pre>\n<p>c</p>'),
        ("- a\n  b\n- `c`", "<ul><li>a\n  b</li><li><code>c</code></li></ul>"),
        ("[x](y.md) [z](no)", '<p><a class="ms-link" href="/y">x</a> z</p>'),
    ],
)
def test_markdown(text, html):
    assert render(text, {"y.md": "/y", "no": ""}.get) == html


def test_a_table_has_a_head():
    html = render("| a | b |\n| --- | --- |\n| `1\\|3` | 2 |", lambda target: "")
    assert html.count("<th ") == 2 and html.endswith(
        "<tbody><tr><td><code>1|3</code></td><td>2</td></tr></tbody></table></div>"
    )
