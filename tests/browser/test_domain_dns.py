"""A newcomer hosts a domain and publishes what its page tells, in a real name server: the page turns green one record
at a time."""

import base64
import os
from pathlib import Path

import pytest
from knot_server import KnotServer
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from web_page import picture_for_readme, wait_until_left

pytestmark = [pytest.mark.browser, pytest.mark.interop]

BOSS, PASSWORD = "boss@green.test", "correct horse battery"
ADDRESS, REVERSE = "198.41.0.4", "41.198.in-addr.arpa"
# Where to put a picture of each page, for those who want to look.
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
SECONDS = 60


@pytest.fixture
def knot(require_program, tmp_path):
    with KnotServer(require_program("knotd", "knot"), tmp_path / "knot", ["green.test", "suite.test", REVERSE]) as knot:
        yield knot


@pytest.fixture
def administered(knot, new_suite):
    suite = new_suite(
        MAILSUITE_RESOLVER=knot.address,
        MAILSUITE_NAME_SERVER_PORT=str(knot.port),
        MAILSUITE_PUBLIC_ADDRESSES=ADDRESS,
        # The address is somebody's.
        MAILSUITE_CHECK_SERVICES="no",
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    ).start()
    suite.manage("createsuperuser", "--noinput", "--email", BOSS)
    yield suite
    suite.stop()


class Page:
    def __init__(self, browser, suite, look):
        self.browser, self.suite, self.look = browser, suite, look

    def open(self, path):
        self.browser.get(self.suite.url(path))

    def fill(self, **fields):
        for name, text in fields.items():
            self.browser.find_element(By.NAME, name).send_keys(text)

    def press(self, label):
        button = self.browser.find_element(By.XPATH, f"//button[contains(normalize-space(), {label!r})]")
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
        wait_until_left(self.browser, button)

    def sees(self, words):
        return words in self.browser.find_element(By.TAG_NAME, "body").text

    def check(self):
        """Presses the button and waits, as the page itself does, until the look is over."""
        self.press("Check DNS now")
        self.wait_looked()

    def wait_looked(self):
        waiting = WebDriverWait(self.browser, SECONDS, ignored_exceptions=(WebDriverException,))
        waiting.until(lambda browser: not browser.find_elements(By.CSS_SELECTOR, "#dns[data-running]"))

    def verdicts(self):
        """The word of each record, by its zone line; read from the page's text, hidden or not."""
        return self.browser.execute_script(
            "return Object.fromEntries([...document.querySelectorAll('details.ms-dns')].map(row => ["
            "(row.querySelector('code[id^=zone]') || row.querySelector('summary strong')).textContent,"
            "row.querySelector('summary .ms-badge').textContent]))"
        )

    def score(self):
        return self.browser.find_element(By.CSS_SELECTOR, ".ms-ring text").text

    def picture(self, name):
        if not SCREENSHOTS:
            return
        for dark in (False, True):
            for width in (1280, 380):
                self.look(dark=dark, width=width)
                self.browser.execute_script("document.documentElement.classList.toggle('dark', arguments[0])", dark)
                whole = self.browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
                path = Path(SCREENSHOTS) / f"dns-{name}-{'dark' if dark else 'light'}-{width}.png"
                path.write_bytes(base64.b64decode(whole["data"]))
        self.look(dark=False, width=1280)


@pytest.fixture
def page(browser, administered, look):
    page = Page(browser, administered, look)
    page.open("/admin/")
    page.fill(username=BOSS, password=PASSWORD)
    page.press("Log in")
    return page


def test_a_new_domain_turns_green_one_record_at_a_time(page, knot, administered):
    page.open("/admin/directory/domain/add/")
    page.fill(name="green.test")
    page.press("Save")
    assert page.sees("DNS records of green.test")
    page.wait_looked()
    assert page.sees("Publish MX at green.test: 10 mx.suite.test.") and page.score() == "5"
    page.picture("new")

    zone = administered.manage("domain", "records", "green.test", "--zone")
    lines = [line.removeprefix("; elsewhere: ") for line in zone.splitlines() if line]
    assert len(lines) > 15 and set(lines) <= set(page.verdicts())
    last = 5
    for position, line in enumerate(lines):
        assert page.verdicts()[line] != "good", line
        knot.add(line)
        page.check()
        after = page.verdicts()
        assert [line for line in lines[: position + 1] if after[line] != "good"] == []
        assert int(page.score()) >= last
        last = int(page.score())
        if position == 3:
            page.picture("half")
            picture_for_readme(page.browser, "dns")
    assert set(page.verdicts().values()) == {"good"} and page.score() == "100"
    assert page.sees("All is well")
    page.picture("green")
    assert administered.run("domain", "check", "green.test").returncode == 0

    # Somebody breaks it: the page says what, and its history what was there.
    knot.lines["green.test"] = [line for line in knot.lines["green.test"] if " MX " not in line]
    knot.add("green.test. 60 IN MX 10 elsewhere.test.")
    page.check()
    assert page.sees("changed") and page.sees("not to this host")
    assert administered.run("domain", "check", "green.test").returncode == 1
    page.picture("drift")
    page.browser.find_element(By.LINK_TEXT, "History").click()
    assert page.sees("10 elsewhere.test.") and page.sees("10 mx.suite.test.")
    page.picture("history")
    severe = [entry["message"] for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in severe if "favicon" not in message] == []
