"""Take the pictures of the report that docs/ keeps, one of each theme.

PYTHONPATH=src .venv/bin/python -m tests.browser.screenshots results/aviary/report.html docs
"""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path

from PIL import Image

from tests.browser.conftest import Browser, start_chromium

WIDTH = 1280
HEIGHTS = {"light": 1068, "dark": 650}
PLACES = {"light": "#comparison", "dark": "#curves"}
"""What each theme's picture shows at its top."""
MARGIN, SCROLLBAR = 24, 15
COLOURS = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    driver = start_chromium()
    try:
        browser = Browser(driver)
        driver.set_window_size(WIDTH, 1000)
        for theme, place in PLACES.items():
            browser.emulate(theme)
            browser.open(args.page.resolve().as_uri())
            top = browser.run("return document.querySelector(arguments[0]).getBoundingClientRect().top", place)
            above = 0 if theme == "light" else top - MARGIN
            clip = {"x": 0, "y": above, "width": WIDTH - SCROLLBAR, "height": HEIGHTS[theme], "scale": 1}
            shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
            picture = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
            picture.quantize(COLOURS).save(args.folder / f"report-{theme}.png", optimize=True)
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
