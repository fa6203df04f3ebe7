"""The story of a message in front of an administrator: why it went where it did, and what that rests on."""

import base64
import os
import time
from pathlib import Path

import pytest
from foreign_mail import Signer, deliver, strings
from selenium.webdriver.common.by import By
from web_page import picture_for_readme, wait_until_left

pytestmark = [pytest.mark.browser, pytest.mark.interop]

BOSS, PASSWORD = "story-boss@story.test", "correct horse battery"
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
RECORDS = {
    ("2.0.0.127.in-addr.arpa", "PTR"): ["mail.far.test."],
    ("mail.far.test", "A"): ["127.0.0.2"],
    ("story.example", "TXT"): ['"v=spf1 ip4:192.0.2.1 -all"'],
    ("_dmarc.story.example", "TXT"): ['"v=DMARC1; p=none"'],
}


@pytest.fixture(scope="module")
def told(suite):
    """Mail that was refused, filed as junk and taken."""
    suite.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    suite.manage("createsuperuser", "--noinput", "--email", BOSS)
    del suite.environment["DJANGO_SUPERUSER_PASSWORD"]
    suite.add_domain("story.test")
    suite.add_mailbox("ann@story.test", PASSWORD)
    signer = Signer("story.example")
    suite.dns.records |= RECORDS | signer.records
    for policy, subject in (("quarantine", "Doubtful"), ("reject", "Genuine")):
        # Each from a name of its own, since the suite remembers DNS answers.
        suite.dns.records[f"_dmarc.{policy}.story.example", "TXT"] = [strings(f"v=DMARC1; p={policy}")]
        message = f"From: Friend <x@{policy}.story.example>\r\nSubject: {subject}\r\n\r\nHello\r\n".encode()
        if subject == "Genuine":
            message = signer.sign(message)
        deliver(suite.port("SMTP"), message, "ann@story.test", sender="x@story.example")
    forged = b"From: Boss <x@reject.story.example>\r\nSubject: Forged\r\n\r\nPay\r\n"
    assert deliver(suite.port("SMTP"), forged, "ann@story.test", sender="x@story.example")[0] == 550
    deadline = time.monotonic() + 20
    while suite.run("trace", "Forged").returncode and time.monotonic() < deadline:
        time.sleep(0.1)
    return suite


@pytest.fixture
def page(browser, told):
    browser.get(told.url("/admin/"))
    browser.find_element(By.NAME, "username").send_keys(BOSS)
    browser.find_element(By.NAME, "password").send_keys(PASSWORD)
    button = browser.find_element(By.XPATH, "//button[contains(normalize-space(), 'Log in')]")
    button.click()
    wait_until_left(browser, button)
    return browser


def picture(browser, look, name: str) -> None:
    for dark in (False, True) if SCREENSHOTS else ():
        for width in (1280, 380):
            look(dark=dark, width=width)
            browser.execute_script("document.documentElement.classList.toggle('dark', arguments[0])", dark)
            whole = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
            path = Path(SCREENSHOTS) / f"story-{name}-{'dark' if dark else 'light'}-{width}.png"
            path.write_bytes(base64.b64decode(whole["data"]))
    look(dark=False, width=1280)


@pytest.mark.parametrize(
    ("subject", "sentence", "reason"),
    [
        ("Genuine", "In the inbox: nothing speaks against it.", "ordinary"),
        ("Doubtful", "In Junk because quarantine.story.example does not stand behind it", "dmarc-quarantine"),
        ("Forged", "Refused because reject.story.example does not stand behind it", "dmarc-reject"),
    ],
)
def test_the_story_says_why(page, told, look, subject, sentence, reason):
    page.get(told.url(f"/admin/trace/story/?q={subject}"))
    link = page.find_element(By.PARTIAL_LINK_TEXT, subject)
    link.click()
    wait_until_left(page, link)
    text = page.find_element(By.TAG_NAME, "body").text
    assert sentence in text and reason in text
    if subject == "Doubtful":
        picture_for_readme(page, "story")
    for check in ("Reverse DNS", "SPF of the sender", "DKIM", "DMARC"):
        assert check in text
    summary = page.find_element(By.XPATH, "//summary[text()='What DNS said']")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", summary)
    summary.click()
    assert "story.example TXT: v=spf1" in page.find_element(By.TAG_NAME, "body").text
    picture(page, look, subject.lower())
    # On a phone nothing is wider than the page.
    look(dark=False, width=380)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 380
    look(dark=False, width=1280)
