"""An owner in front of the real suite: signs in, makes an app password, changes the password, looks at each page."""

import base64
import imaplib
import os
import smtplib
import ssl
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from web_page import wait_until_left

pytestmark = [pytest.mark.browser, pytest.mark.interop]

ADDRESS, EVE = "ann@owner.test", "eve@owner.test"
PASSWORD, NEW = "correct horse battery", "a lamp on the shore"
# Where to put a picture of each page, for those who want to look.
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
PAGES = ("/", "/app-passwords", "/junk", "/rules", "/sign-ins", "/password")


@pytest.fixture(scope="module")
def owner(suite):
    suite.add_domain("owner.test")
    suite.add_mailbox(ADDRESS, PASSWORD)
    return suite


class Person:
    """Does on a page what a person does, and waits until it has happened."""

    def __init__(self, browser, suite):
        self.browser, self.suite = browser, suite

    def open(self, path):
        self.browser.get(self.suite.url(path))

    def fill(self, **fields):
        for name, text in fields.items():
            field = self.browser.find_element(By.NAME, name)
            field.clear()
            field.send_keys(text)

    def press(self, label):
        button = self.browser.find_element(By.XPATH, f"//main//button[normalize-space()={label!r}]")
        button.click()
        wait_until_left(self.browser, button)

    def sees(self, words):
        return words in self.browser.find_element(By.TAG_NAME, "body").text

    def sign_in(self, password):
        self.open("/sign-in")
        self.fill(username=ADDRESS, password=password)
        self.press("Sign in")


@pytest.fixture
def person(browser, owner):
    return Person(browser, owner)


def signs_in_by_imap(suite, password):
    context = ssl.create_default_context(cafile=str(suite.certificate))
    with imaplib.IMAP4_SSL("127.0.0.1", suite.port("IMAPS"), ssl_context=context) as connection:
        try:
            return connection.login(ADDRESS, password)[0] == "OK"
        except imaplib.IMAP4.error:
            return False


def send(suite, address, password):
    context = ssl.create_default_context(cafile=str(suite.certificate))
    with smtplib.SMTP_SSL("127.0.0.1", suite.port("SUBMISSIONS"), context=context) as connection:
        connection.login(address, password)
        connection.sendmail(address, [address], f"From: {address}\r\n\r\n{'hello ' * 3200}\r\n")


def picture(browser, look, name):
    if not SCREENSHOTS:
        return
    for dark in (False, True):
        for width in (1280, 380):
            look(dark=dark, width=width)
            whole = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
            path = Path(SCREENSHOTS) / f"{name}-{'dark' if dark else 'light'}-{width}.png"
            path.write_bytes(base64.b64decode(whole["data"]))
    look(dark=False, width=1280)


def mail_from_outside(suite, sender):
    """The reply to a message to ann."""
    with smtplib.SMTP("127.0.0.1", suite.port("SMTP")) as connection:
        try:
            connection.sendmail(sender, [ADDRESS], f"From: {sender}\r\nSubject: offer\r\n\r\nbuy\r\n")
        except smtplib.SMTPDataError as error:
            return f"{error.smtp_code} {error.smtp_error.decode()}"
    return "250"


def test_an_owner_says_whose_mail_is_refused_and_takes_it_back(person, owner, look):
    person.sign_in(PASSWORD)
    person.open("/rules?sender=eve@shop.example&action=junk")
    person.fill(note="an offer a day", sender="nobody")
    person.press("Add rule")
    assert person.sees("no whole domain")
    picture(person.browser, look, "rules-mistake")
    person.fill(sender="Eve <eve@shop.example>")
    Select(person.browser.find_element(By.NAME, "action")).select_by_visible_text("Refuse it")
    person.press("Add rule")
    assert person.sees("Mail of eve@shop.example to ann@owner.test is refused from now on")
    assert "(block-rule)" in mail_from_outside(owner, "eve@shop.example")
    assert mail_from_outside(owner, "adam@shop.example") == "250"
    person.press("Remove")
    assert mail_from_outside(owner, "eve@shop.example") == "250"
    for sender, action in (("friend@mail.example", "Always to the inbox"), ("ads.example", "Always to Junk")):
        person.fill(sender=sender)
        Select(person.browser.find_element(By.NAME, "action")).select_by_visible_text(action)
        person.press("Add rule")
    person.press("Keep")
    assert person.sees("is kept")
    picture(person.browser, look, "rules-some")


def test_an_owner_signs_in_makes_an_app_password_and_changes_the_password(person, owner, look):
    person.open("/")
    assert person.browser.current_url.endswith("/sign-in?next=/")
    picture(person.browser, look, "sign-in")
    person.sign_in("not it")
    assert person.sees("don't fit together")
    person.sign_in(PASSWORD)
    assert person.sees("Set up a mail program")
    assert person.sees(str(owner.port("IMAPS")))

    person.open("/app-passwords")
    person.fill(label="Laptop", old_password=PASSWORD)
    person.press("Make app password")
    made = person.browser.find_element(By.ID, "made").text
    picture(person.browser, look, "made")
    assert signs_in_by_imap(owner, made)
    send(owner, ADDRESS, made)
    person.open("/app-passwords")
    assert person.sees("Laptop")
    assert not person.sees(made)
    person.press("Revoke")
    assert person.sees("is revoked")
    assert not signs_in_by_imap(owner, made)

    person.open("/password")
    person.fill(old_password=PASSWORD, new_password=NEW, repeated=NEW)
    person.press("Change password")
    assert person.sees("Your password is changed")
    assert signs_in_by_imap(owner, NEW)
    person.open("/sign-ins")
    assert person.sees("Reading (IMAP)")
    assert person.sees("Wrong password")


def test_no_page_is_wider_than_a_telephone_or_breaks_its_own_policy(person, owner, look):
    person.open("/sign-in")
    owner.manage("mailbox", "add", EVE, "--password-stdin", "--quota", "20K", "--weak-password-ok", input=PASSWORD)
    send(owner, EVE, PASSWORD)
    person.fill(username=EVE, password=PASSWORD)
    person.press("Sign in")
    phone = person.browser.find_element(By.PARTIAL_LINK_TEXT, "iPhone").get_attribute("href")
    for path in (*PAGES, "/" + phone.split("/", 3)[3]):
        person.open(path)
        picture(person.browser, look, path.strip("/").replace("/", "-") or "overview")
        look(dark=False, width=380)
        wide = person.browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 380, path
        look(dark=False, width=1280)
    person.open("/")
    assert "full" in person.browser.find_element(By.TAG_NAME, "progress").get_attribute("class")
    assert [line for line in person.browser.get_log("browser") if line["level"] in ("WARNING", "SEVERE")] == []
