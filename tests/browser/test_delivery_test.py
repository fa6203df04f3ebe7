"""The live delivery test's page: stages appear while a host is still thinking."""

import base64
import os
import threading
from pathlib import Path

import pytest
from certificates import make
from dns_server import DnsServer
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from smtp_sink import Behaviour, Sink
from web_page import wait_until_left

pytestmark = [pytest.mark.browser, pytest.mark.interop]

BOSS, PASSWORD = "boss@delivery.test", "correct horse battery"
HOST = "127.0.0.54"
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")
RECORDS = {
    ("far.test", "MX"): ["10 mx.far.test.", "20 backup.far.test."],
    ("mx.far.test", "A"): [HOST],
    ("backup.far.test", "A"): ["127.0.0.55"],
}


def picture(browser, look, name):
    if not SCREENSHOTS:
        return
    for dark in (False, True):
        for width in (1280, 380):
            look(dark=dark, width=width)
            browser.execute_script("document.documentElement.classList.toggle('dark', arguments[0])", dark)
            whole = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
            path = Path(SCREENSHOTS) / f"delivery-{name}-{'dark' if dark else 'light'}-{width}.png"
            path.write_bytes(base64.b64decode(whole["data"]))
    look(dark=False, width=1280)


def test_stages_appear_as_they_happen(browser, look, start_suite, tmp_path):
    thinking = threading.Event()

    def recipient(address):
        assert thinking.wait(60)
        return "450 4.2.0 greylisted, come again"

    try:
        sink = Sink(
            Behaviour(tls=make("else.test").server_context(tmp_path), recipient=recipient), HOST, 25
        ).__enter__()
    except PermissionError:
        pytest.skip("needs the right to listen on port 25 of the loopback (root, or ip_unprivileged_port_start)")
    with DnsServer(RECORDS) as server:
        suite = start_suite(MAILSUITE_RESOLVER=server.address, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
        suite.manage("createsuperuser", "--noinput", "--email", BOSS)
        browser.get(suite.url("/admin/delivery-test/"))
        browser.find_element(By.NAME, "username").send_keys(BOSS)
        browser.find_element(By.NAME, "password").send_keys(PASSWORD)
        button = browser.find_element(By.CSS_SELECTOR, "button[type=submit]")
        button.click()
        wait_until_left(browser, button)
        picture(browser, look, "form")
        field = browser.find_element(By.ID, "target")
        field.send_keys("bob@far.test\n")
        wait_until_left(browser, field)

        def has(stage):
            return lambda _: browser.find_elements(By.CSS_SELECTOR, f"li[data-stage={stage}]")

        WebDriverWait(browser, 30).until(has("mail"))
        assert not has("rcpt")(None) and browser.find_element(By.ID, "running").is_displayed()
        picture(browser, look, "running")
        thinking.set()
        WebDriverWait(browser, 30).until(has("result"))
        WebDriverWait(browser, 10).until(lambda _: not browser.find_element(By.ID, "running").is_displayed())
        text = browser.find_element(By.ID, "stages").text
        assert "greylisting" in text and "would wait in the queue" in text and "Nothing listens there" in text
        picture(browser, look, "done")
        assert [line for line in browser.get_log("browser") if "Content Security" in line["message"]] == []
    sink.__exit__()
