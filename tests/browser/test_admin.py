"""An administrator in front of the real suite: hosts a domain, makes a mailbox, copies a record, follows a message."""

import base64
import os
import smtplib
import ssl
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from web_page import wait_until_left

pytestmark = [pytest.mark.browser, pytest.mark.interop]

BOSS, PASSWORD = "boss@admin.test", "correct horse battery"
ANN, NEW = "ann@admin.test", "a lamp on the shore"
# Where to put a picture of each page, for those who want to look.
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")


@pytest.fixture(scope="module")
def administered(suite):
    suite.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    suite.manage("createsuperuser", "--noinput", "--email", BOSS)
    del suite.environment["DJANGO_SUPERUSER_PASSWORD"]
    return suite


class Person:
    """Does on a page what a person does, and waits until it has happened."""

    def __init__(self, browser, suite, look):
        self.browser, self.suite, self.look = browser, suite, look

    def open(self, path):
        self.browser.get(self.suite.url(path))

    def fill(self, **fields):
        for name, text in fields.items():
            field = self.browser.find_element(By.NAME, name)
            field.clear()
            field.send_keys(text)

    def press(self, label):
        """Presses the button of that name, and waits for the next page."""
        button = self.browser.find_element(By.XPATH, f"//button[contains(normalize-space(), {label!r})]")
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
        wait_until_left(self.browser, button)

    def press_and_confirm(self, label):
        button = self.browser.find_element(By.XPATH, f"//button[contains(normalize-space(), {label!r})]")
        button.click()
        self.browser.switch_to.alert.accept()
        wait_until_left(self.browser, button)

    def follow(self, words):
        link = self.browser.find_element(By.PARTIAL_LINK_TEXT, words)
        link.click()
        wait_until_left(self.browser, link)

    def sees(self, words):
        return words in self.browser.find_element(By.TAG_NAME, "body").text

    def searches_by_keyboard(self, words, found):
        self.browser.find_element(By.XPATH, "//button[contains(., 'Search pages')]").send_keys(Keys.ENTER)
        field = self.browser.find_element(By.ID, "search-input-command")
        WebDriverWait(self.browser, 10).until(lambda browser: browser.switch_to.active_element == field)
        field.send_keys(words)
        WebDriverWait(self.browser, 20, ignored_exceptions=[WebDriverException]).until(
            lambda browser: found in browser.find_element(By.ID, "command-results").text
        )
        # The first clears the field, the second closes it.
        for _ in range(2):
            field.send_keys(Keys.ESCAPE)
        WebDriverWait(self.browser, 10).until(lambda _: not field.is_displayed())

    def picture(self, name):
        if not SCREENSHOTS:
            return
        for dark in (False, True):
            for width in (1280, 380):
                self.look(dark=dark, width=width)
                # The theme asks for the person's taste only when a page begins.
                self.browser.execute_script("document.documentElement.classList.toggle('dark', arguments[0])", dark)
                whole = self.browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
                path = Path(SCREENSHOTS) / f"admin-{name}-{'dark' if dark else 'light'}-{width}.png"
                path.write_bytes(base64.b64decode(whole["data"]))
        self.look(dark=False, width=1280)


@pytest.fixture
def person(browser, administered, look):
    person = Person(browser, administered, look)
    person.open("/admin/")
    person.picture("login")
    person.fill(username=BOSS, password=PASSWORD)
    person.press("Log in")
    return person


def send(suite, address, password, subject, to=""):
    context = ssl.create_default_context(cafile=str(suite.certificate))
    with smtplib.SMTP_SSL("127.0.0.1", suite.port("SUBMISSIONS"), context=context) as connection:
        connection.login(address, password)
        connection.sendmail(address, [to or address], f"From: {address}\r\nSubject: {subject}\r\n\r\nhello\r\n")


def test_an_administrator_hosts_a_domain_and_follows_a_message(person, administered):
    person.open("/admin/directory/domain/add/")
    person.fill(name="nodots")
    person.press("Save")
    assert person.sees("no whole domain")
    person.fill(name="admin.test")
    person.press("Save")
    assert person.sees("DNS records of admin.test")
    # The first look at DNS runs beside the page, which shows its result when it is over.
    WebDriverWait(person.browser, 60, ignored_exceptions=[WebDriverException]).until(
        lambda browser: not browser.find_elements(By.CSS_SELECTOR, "#dns[data-running]")
    )
    person.browser.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert person.sees("v=spf1 mx -all")
    person.picture("records")

    person.browser.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    button = person.browser.find_element(By.CSS_SELECTOR, "[data-copy='value-1-1']")
    button.click()
    WebDriverWait(person.browser, 10).until(lambda _: "Copied" in button.text)
    assert person.browser.execute_script("return navigator.clipboard.readText()") == "10 mx.suite.test."

    person.follow("Add a mailbox")
    person.fill(address=ANN, password=PASSWORD, name="Ann", quota_octets="1G")
    person.press("Save")
    assert person.sees(ANN) and person.sees("1.0 GB")
    person.picture("mailboxes")
    person.searches_by_keyboard("ann@", ANN)
    person.browser.find_element(By.XPATH, f"//*[@role='button'][contains(., '{BOSS}')]").send_keys(Keys.ENTER)
    WebDriverWait(person.browser, 10).until(lambda _: person.sees("Log out"))

    send(administered, ANN, PASSWORD, "To be followed")
    person.open("/admin/trace/story/?q=followed")
    assert person.sees("Delivered") and person.sees(ANN)
    person.follow("To be followed")
    assert person.sees(f"Delivered to {ANN}.") and person.sees(f"filed {ANN}") and person.sees("TLSv1")
    person.picture("story")

    person.open(f"/admin/directory/mailbox/?q={ANN}")
    person.follow(ANN)
    person.fill(password=NEW)
    person.press("Save")
    with pytest.raises(smtplib.SMTPAuthenticationError):
        send(administered, ANN, PASSWORD, "Refused")
    send(administered, ANN, NEW, "Taken")

    # Nobody listens on port 1, so this one waits.
    administered.manage("route", "add", "far.test", "smtp://127.0.0.1:1")
    send(administered, ANN, NEW, "Going far", to="friend@far.test")
    person.open("/admin/queue/queuedmessage/")
    assert person.sees("1 waits for far.test")
    person.follow("friend@far.test")
    page = person.browser.current_url
    WebDriverWait(person.browser, 30, ignored_exceptions=[WebDriverException]).until(
        lambda browser: browser.get(page) or browser.find_elements(By.XPATH, "//*[contains(text(), 'refused')]")
    )
    person.picture("queued")
    person.press("Retry now")
    assert person.sees("is tried again now") and person.sees("friend@far.test")

    person.open("/admin/")
    assert person.sees("The last 24 hours") and person.sees("Taken")
    person.picture("overview")
    # What a page did against its policy, and any script that failed, is told on the console.
    severe = [entry["message"] for entry in person.browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in severe if "favicon" not in message] == []


def test_an_administrator_screens(person, administered):
    """A rule, and a DNS list that is tested against a real DNS server: first in order, then out of it."""
    person.open("/admin/screening/rule/add/")
    person.fill(value="0.0.0.0")
    person.press("Save")
    assert person.sees("no address: write one such as ann@example.org")
    person.picture("rule-refused")
    person.fill(value="Eve@Mail.Example", note="has been told twice")
    person.press("Save")
    assert person.sees("eve@mail.example") and person.sees("the whole site")
    person.picture("rules")

    person.open("/admin/screening/dnslist/add/")
    person.fill(name="Our own list", zone="bl.test", weight="1")
    person.browser.find_element(By.NAME, "is_active").click()
    person.press("Save")
    assert person.sees("asked, not tested yet") and person.sees("Spamhaus ZEN")
    person.picture("dns-lists")
    person.follow("Our own list")
    administered.dns.records[("2.0.0.127.bl.test", "A")] = ["127.0.0.2"]
    person.press("Test now")
    assert person.sees("Our own list is in order")
    administered.dns.records[("2.0.0.127.bl.test", "A")] = ["127.255.255.254"]
    person.press("Test now")
    assert person.sees("Our own list is switched off: it answers 127.255.255.254")
    person.picture("dns-list")
    person.open("/admin/")
    assert person.sees("The DNS list Our own list is switched off")
    person.picture("overview-alarm")

    person.open("/admin/screening/screeningsettings/")
    person.fill(junk_score="3")
    person.press("Save")
    assert person.sees("not above the sum from which mail is refused")
    person.fill(junk_score="1", greylist_minutes="2")
    person.picture("weights")
    person.press("Save")
    assert person.sees("Saved")
    person.open("/admin/screening/greylistentry/")
    person.picture("greylist")
    person.open("/admin/screening/senderpause/")
    person.picture("pauses")


def test_an_administrator_bans_and_lifts(person, administered):
    """A network in the shell, another here, and one that never is banned."""
    administered.manage("ban", "add", "198.51.100.0/24", "--note", "spells out passwords", "--days", "3")
    person.open("/admin/access/ban/add/")
    person.fill(subject="203.0.113.999")
    person.press("Save")
    assert person.sees("203.0.113.999")
    person.picture("ban-refused")
    person.fill(subject="203.0.113.7", note="knocked all night")
    person.press("Save")
    person.open("/admin/access/ban/")
    assert person.sees("203.0.113.7") and person.sees("spells out passwords")
    person.picture("bans")
    person.follow("203.0.113.7")
    person.picture("ban")
    person.press_and_confirm("Lift")
    assert person.sees("203.0.113.7 may come in again")
    assert "203.0.113.7" not in administered.manage("ban", "list")
    person.open("/admin/access/allowednetwork/add/")
    person.fill(network="192.0.2.0/24", note="our office")
    person.press("Save")
    person.open("/admin/access/allowednetwork/")
    assert person.sees("192.0.2.0/24") and person.sees("our office")
    person.picture("never-banned")
    # On a telephone each row is a card, in which a long note has room.
    administered.manage("ban", "allow", "2001:db8:1234::/48", "--note", "monitoring that signs in each minute " * 4)
    person.look(dark=False, width=380)
    person.open("/admin/access/allowednetwork/")
    cut = "return [...document.querySelectorAll('#result_list td')].filter(td => td.scrollHeight > td.clientHeight + 1)"
    assert person.sees("monitoring") and person.browser.execute_script(cut) == []
    person.look(dark=False, width=1280)


def test_the_first_page_begins_with_what_needs_attention_and_leaves_no_gap(person):
    """Cards stand below one another, each directly below the one before, however high its neighbours are."""
    gaps = """return [...document.querySelectorAll('.ms-column')].flatMap(column => {
        const cards = [...column.children].map(card => card.getBoundingClientRect());
        return cards.slice(1).map((card, at) => Math.round(card.top - cards[at].bottom));
    })"""
    heads = "return [...document.querySelectorAll('.ms-card h2')].sort((a, b) => a.getBoundingClientRect().top - "
    heads += "b.getBoundingClientRect().top).map(head => head.textContent)"
    person.open("/admin/")
    assert set(person.browser.execute_script(gaps)) == {20}
    person.look(dark=False, width=380)
    assert person.browser.execute_script(heads)[0] == "Needs attention"
    person.look(dark=False, width=1280)
