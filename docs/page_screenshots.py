"""Takes screenshots of the server's page, light and dark: page_screenshots.py URL PHOTO FOLDER.

Needs playwright and a Chromium: Debian's, or the one that CHROMIUM names.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main(url: str, photo: str, folder: str) -> None:
    """Write light.png and dark.png of the page with the photo's poses."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1000, "height": 900}, color_scheme=scheme)
            page.goto(url)
            page.set_input_files("#file", photo)
            page.wait_for_selector("tr[data-place]")
            page.focus("#canvas")
            page.keyboard.press("ArrowRight")
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
