"""Waiting for a browser as a person does, and the pictures of README.md."""

import base64
import os
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

SECONDS = 30
# The folder to write README's pictures to, deploy/pictures.
PICTURES = os.environ.get("PICTURES", "")
WIDTH, HEIGHT = 1280, 860


def wait_until_left(browser: webdriver.Chrome, element: WebElement) -> None:
    """Returns when the page that holds the element has made place for another."""
    # Asked about an element while its page is being replaced, the driver may answer with an error of its own.
    wait = WebDriverWait(browser, SECONDS, ignored_exceptions=(WebDriverException,))
    wait.until(expected_conditions.staleness_of(element))


def picture_for_readme(browser: webdriver.Chrome, name: str) -> None:
    """The top of the page as it is, where PICTURES asks for it; CONTRIBUTING.md says how it is made small."""
    if not PICTURES:
        return
    browser.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
    metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"optimizeForSpeed": False})["data"]
    (Path(PICTURES) / f"{name}.png").write_bytes(base64.b64decode(picture))
