"""Waiting for a browser as a person does."""

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

SECONDS = 30


def wait_until_left(browser: webdriver.Chrome, element: WebElement) -> None:
    """Returns when the page that holds the element has made place for another."""
    # Asked about an element while its page is being replaced, the driver may answer with an error of its own.
    wait = WebDriverWait(browser, SECONDS, ignored_exceptions=(WebDriverException,))
    wait.until(expected_conditions.staleness_of(element))
