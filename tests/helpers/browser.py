"""A headless Chromium for pages, where one is installed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_WORDS = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
_MORE = "disable-component-update disable-sync"
QUIET = [f"--{word}" for word in f"{_WORDS} {_MORE}".split(" ")]


@contextmanager
def chromium(width: int = 1200, height: int = 1500, dark: bool = False) -> Iterator[Any]:
    """A driver of a fresh browser; skips with a reason where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with chromedriver: apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for word in [*QUIET, f"--user-data-dir={profile}", f"--window-size={width},{height}"]:
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        try:
            yield browser
        finally:
            browser.quit()


def screenshot(browser: Any, path: Any) -> None:
    """The whole page as a PNG."""
    import base64

    found = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    path.write_bytes(base64.b64decode(found["data"]))
