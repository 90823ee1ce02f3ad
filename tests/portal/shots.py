"""Pictures of every page, in both languages, light and dark: ``python -m portal.shots FOLDER``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from portal import browser, pages
from server.conftest import serving

VARIANTS = [(language, theme) for language in ("en", "zh-CN") for theme in ("light", "dark")]


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, serving(Path(place)) as plane:
        pages.prepare(plane, 240)
        vendor = Path(place) / "vendor"
        vendor.mkdir()
        pages.publish(plane, vendor)
        cookie = browser.session_of(plane, name="Ada Lovelace")
        with browser.chromium() as chromium:
            for language, theme in VARIANTS:
                for width in (1360, 375) if theme == "light" else (1360,):
                    made = browser.context(
                        chromium, plane, cookie, language=language, theme=theme, width=width
                    )
                    page = made.new_page()
                    for name, path in {**pages.everything(plane), **pages.REVIEWS}.items():
                        if names and name not in names:
                            continue
                        status = pages.opened(page, name, path)
                        shot = folder / f"{name}-{language}-{theme}-{width}.png"
                        page.screenshot(path=shot, full_page=True)
                        wide = page.evaluate("document.documentElement.scrollWidth")
                        print(status, name, language, theme, width, "WIDE" if wide > width else "")
                    made.close()


if __name__ == "__main__":
    began = time.monotonic()
    main(Path(sys.argv[1]), sys.argv[2:])
    print(f"{time.monotonic() - began:.0f} s")
