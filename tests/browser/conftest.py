"""A headless Chromium that remembers what pages asked for, and planted pages, from disk and over http."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.planted_report import plant_report

SIZE = (1280, 1000)
PATIENCE = 60


class Browser:
    """Chromium, with what tests ask of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def emulate(self, scheme: str = "light", medium: str = "screen") -> None:
        """Have pages believe in a colour scheme of the system, and in a medium."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": features})

    def open(self, address: str) -> Browser:
        """Open a page and wait until it says that it is drawn."""
        from selenium.webdriver.support.ui import WebDriverWait

        self.asked(), self.complaints()
        self.driver.get(address)
        WebDriverWait(self.driver, PATIENCE).until(lambda _: self.run("return document.documentElement.dataset.ready"))
        return self

    def until(self, question: Callable[[], Any]) -> None:
        """Wait until a question is answered with yes: tables and charts redraw a moment after they were told to."""
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, PATIENCE, 0.05, [StaleElementReferenceException]).until(lambda _: question())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        found: list[Any] = self.driver.find_elements("css selector", selector)
        return found

    def style(self, selector: str, name: str, pseudo: str = "") -> str:
        script = "return getComputedStyle(document.querySelector(arguments[0]), arguments[2] || null)[arguments[1]]"
        return str(self.run(script, selector, name, pseudo))

    def asked(self) -> list[str]:
        """Addresses that were requested since the last question."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """What the console was told since the last question."""
        return [f"{entry['level']}: {entry['message']}" for entry in self.driver.get_log("browser")]


def start_chromium() -> Any:
    """Chromium of this machine, driven by its own driver: nothing is looked up or fetched."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    # As root Chromium refuses its sandbox, and /dev/shm is small in containers.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--lang=en"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    pytest.importorskip("selenium", reason="needs selenium")
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    started = start_chromium()
    yield Browser(started)
    started.quit()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """The browser as a test finds it: a wide window, light, on screen."""
    chromium.driver.set_window_size(*SIZE)
    chromium.emulate()
    return chromium


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant_report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def bare_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant_report(tmp_path_factory.mktemp("bare"), bare=True)


@pytest.fixture(scope="session")
def japanese_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant_report(tmp_path_factory.mktemp("japanese"), language="ja")


@pytest.fixture
def served(page: Path) -> Iterator[str]:
    """The page's address on a server of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(page.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/{page.name}"
        server.shutdown()
