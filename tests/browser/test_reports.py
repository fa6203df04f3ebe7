"""An administrator reads what others report about a domain: two weeks of reports that came in by SMTP."""

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from report_mail import FORGED, OWN, SHOP
from reporter import Reporter
from selenium.webdriver.common.by import By
from web_page import wait_until_left

pytestmark = [pytest.mark.browser, pytest.mark.interop]

BOSS, PASSWORD = "boss@reports.test", "correct horse battery"
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
READ = "from datetime import *; from mailsuite.reports.reading import *; read_waiting(datetime.now(UTC))"


@pytest.fixture
def reported(new_suite):
    suite = new_suite()
    suite.start()
    suite.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    suite.manage("createsuperuser", "--noinput", "--email", BOSS)
    suite.add_domain("example.org")
    reporter = Reporter()
    suite.dns.records.update(reporter.records)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for ago in range(1, 15):
        records = [OWN] * (2 + ago % 5) + [SHOP] * (ago % 4) + [FORGED] * (ago % 3)
        reporter.send(
            suite, "dmarc-reports@example.org", *records, report_id=str(ago), begins=today - timedelta(days=ago)
        )
    reporter.send(suite, "dmarc-reports@example.org", report_id="x", domain="elsewhere.example", begins=today)
    suite.manage("shell", "-c", READ)
    return suite


def picture(browser, look, name):
    if not SCREENSHOTS:
        return
    for dark in (False, True):
        for width in (1280, 380):
            look(dark=dark, width=width)
            browser.execute_script("document.documentElement.classList.toggle('dark', arguments[0])", dark)
            whole = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
            path = Path(SCREENSHOTS) / f"reports-{name}-{'dark' if dark else 'light'}-{width}.png"
            path.write_bytes(base64.b64decode(whole["data"]))
    look(dark=False, width=1280)


def test_an_administrator_reads_who_sends_as_the_domain(browser, look, reported):
    def follow(words):
        link = browser.find_element(By.PARTIAL_LINK_TEXT, words)
        link.click()
        wait_until_left(browser, link)

    def sees(words):
        return words in browser.find_element(By.TAG_NAME, "body").text

    def fits():
        """Whether a narrow screen needs no scrolling sideways, but within tables."""
        look(dark=False, width=380)
        wide = browser.execute_script("return document.scrollingElement.scrollWidth")
        look(dark=False, width=1280)
        return wide <= 380

    browser.get(reported.url("/admin/"))
    browser.find_element(By.NAME, "username").send_keys(BOSS)
    browser.find_element(By.NAME, "password").send_keys(PASSWORD)
    button = browser.find_element(By.XPATH, "//button[contains(normalize-space(), 'Log in')]")
    button.click()
    wait_until_left(browser, button)

    browser.get(reported.url("/admin/reports/dmarcreport/overview/"))
    assert sees("example.org") and fits()
    picture(browser, look, "overview")
    follow("example.org")
    assert sees("2 sources send as you; this one fails: shop.example.") and sees("1 that could not be read") and fits()
    picture(browser, look, "domain")
    follow("shop.example")
    assert sees("shop.example sends as example.org") and sees("198.51.100.7") and fits()
    picture(browser, look, "source")
    follow("Reporter")
    assert sees("v=DMARC1; p=none") and fits()
    picture(browser, look, "report")
    browser.get(reported.url("/admin/reports/incomingreport/"))
    assert sees("elsewhere.example, which is not hosted here")
    picture(browser, look, "mail")
    browser.get(reported.url("/admin/reports/reportsettings/"))
    assert sees("Organisation")
    picture(browser, look, "settings")
    # What a page did against its policy, and any script that failed, is told on the console.
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in severe if "favicon" not in message] == []
