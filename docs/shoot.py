"""Take the pictures that the docs show: the report of a made-up run, in a real browser; `make shoot`."""

import tempfile
from pathlib import Path

from jobs.report import write
from tests.browser import Browser, opened
from tests.jobs.report import runs

IMAGES = Path(__file__).resolve().parent / "images"
PICTURES = {"report.png": (1100, 1000, False), "report-phone.png": (360, 740, True)}
"""Width, height, and whether in the dark: the top of the page, on a desk and on a phone."""


def main() -> None:
    """Each picture anew."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        run = runs.rich(Path(folder))
        page = write(run.folder, run.receipt, run.base, run.notes)[0]
        for name, (width, height, dark) in PICTURES.items():
            with opened(browser, page, width=width, height=height, dark=dark) as seen:
                seen.screenshot(IMAGES / name)


if __name__ == "__main__":
    main()
