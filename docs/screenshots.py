"""Draw the pictures of docs/images/: the HTML report of two runs, a trace's page and a component's (`make screenshots`).

Needs Debian's chromium and chromium-driver; fonts-inter and fonts-jetbrains-mono make the pictures look like the committed ones. The pages
are those of real runs: the reference, and a mutant that turns pressure off too early. Each picture is reduced to a palette, under 150 KiB.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

IMAGES = Path(__file__).parent / "images"
LARGEST = 150 * 1024
SCALE = 1.5
"""Pixels of a picture for one of the page, for screens that have more."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: of which page, how large, and at which part of it."""

    name: str
    page: str
    width: int
    height: int
    at: str = ""
    dark: bool = False


SHOTS = (
    Shot("report-reference", "reference.html", 1180, 1010),
    Shot("report-rules", "reference.html", 1180, 930, at="rules"),
    Shot("kill-matrix", "reference.html", 1180, 1000, at="mutants"),
    Shot("report-mutant", "mutant.html", 1180, 1000, at="failures"),
    Shot("report-phone", "mutant.html", 390, 844, dark=True),
    Shot("time-travel", "traces/WMK-002.off-at-the-low-mark-end-to-end.html", 1180, 1080),
    Shot("time-travel-phone", "traces/WMK-002.off-at-the-low-mark-end-to-end.html", 390, 844, dark=True),
    Shot("component", "component.html", 1180, 1080),
    Shot("component-phone", "component.html", 390, 844, dark=True),
)


def main() -> int:
    """Draw every picture whose page is there; say how large each is."""
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/images/.")
    parser.add_argument("pages", type=Path, help="the folder with reference.html, mutant.html, component.html and traces/")
    folder = parser.parse_args().pages.resolve()
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    missing = [str(folder / shot.page) for shot in SHOTS if not (folder / shot.page).is_file()]
    if binary is None or driver is None or missing:
        sys.stderr.write(f"missing: {', '.join(dict.fromkeys(missing)) or 'chromium and chromium-driver'}\n")
        return 1
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for switch in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "hide-scrollbars", "font-render-hinting=none"):
        options.add_argument(f"--{switch}")
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        for shot in SHOTS:
            data = _reduced(_taken(browser, folder, shot))
            file = IMAGES / f"{shot.name}.png"
            file.write_bytes(data)
            sys.stdout.write(f"{file.relative_to(IMAGES.parents[1])} {len(data) / 1024:.0f} KiB\n")
    finally:
        browser.quit()
    return 0


def _taken(browser: webdriver.Chrome, folder: Path, shot: Shot) -> Image.Image:
    metrics = {"width": shot.width, "height": shot.height, "deviceScaleFactor": SCALE, "mobile": shot.width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if shot.dark else "light"}
    motion = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, motion]})
    browser.get((folder / shot.page).as_uri())
    if shot.at:
        browser.execute_script("scrollTo(0, document.getElementById(arguments[0]).getBoundingClientRect().top + scrollY - 40)", shot.at)
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    return Image.open(io.BytesIO(b64decode(picture))).convert("RGB")


def _reduced(image: Image.Image) -> bytes:
    """Return a picture as PNG with as many colours as the limit allows."""
    for colours in (256, 128, 64, 32):
        buffer = io.BytesIO()
        reduced = image.quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
        reduced.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= LARGEST:
            break
    else:
        raise SystemExit(f"a picture of {image.size} pixels has more than {LARGEST} bytes even with 32 colours")
    return buffer.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
