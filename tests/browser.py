"""A real headless Chromium for the tests: opens a page, and says what it logged, what it asked for and how it looks."""

import base64
import json
import os
import re
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any, Self

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.programs import program

FLAGS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--no-first-run", "--no-default-browser-check",
    "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-sync", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--hide-scrollbars",
    "--disable-features=Translate,OptimizationHints,MediaRouter", "--force-color-profile=srgb", "about:blank",
)  # fmt: skip
START_SECONDS = 60.0
"""On a machine whose cores are all busy a first start takes ten."""
ANSWER_SECONDS = 30.0
CLOSE_SECONDS = 5.0
MOST_BYTES = 64 << 20
"""Of one message: a screenshot of a long page is some megabytes."""


class BrowserError(Exception):
    """The browser did not do what it was asked; a test that sees this has found nothing yet."""


@dataclass
class Page:
    """A page that stands open: what happened since it was opened, and what can be asked of it."""

    browser: "Browser"
    session: str
    target: str
    console: list[str] = field(default_factory=list)
    """Every message of the console, the browser's own (as of a violated policy) among them: "level: text"."""
    exceptions: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Every address that it asked for, its own among them."""
    blocked: list[str] = field(default_factory=list)
    """Of them, those that the page's own policy kept from being asked."""
    asked: dict[str, str] = field(default_factory=dict)
    """Addresses by the browser's number of the request."""
    downloads: list[str] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol to this page."""
        return self.browser.call(method, self.session, **parameters)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression (or what its promise comes to), as JSON has it."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = False) -> Path:
        """A PNG of what is seen, or of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def pdf(self, path: Path) -> Path:
        """What a printer would get."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))
        return path

    def resize(self, width: int, height: int) -> None:
        """Another window, the same page."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def colours(self, *, dark: bool) -> None:
        """What the person prefers."""
        value = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def close(self) -> None:
        """Done with it."""
        self.browser.forget(self)

    def heard(self, method: str, parameters: dict[str, Any]) -> None:
        """One event of this page."""
        if method == "Runtime.consoleAPICalled":
            words = (str(one.get("value", one.get("description", ""))) for one in parameters["args"])
            self.console.append(f"{parameters['type']}: {' '.join(words)}")
        elif method == "Log.entryAdded":
            entry = parameters["entry"]
            self.console.append(f"{entry['level']}: {entry['text']}")
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.exceptions.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
            self.asked[parameters["requestId"]] = parameters["request"]["url"]
        elif method == "Network.loadingFailed" and parameters.get("blockedReason"):
            self.blocked.append(self.asked.get(parameters["requestId"], ""))
        elif method == "Page.downloadWillBegin":
            self.downloads.append(parameters["suggestedFilename"])


class Browser:
    """One Chromium with a profile of its own, that goes with it. Use as a context; `open` gives pages."""

    def __init__(self) -> None:
        """Skips the test where there is no Chromium, except in CI."""
        self._program = program("chromium", "chromium")
        self._folder = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        self._pages: dict[str, Page] = {}
        self._early: deque[dict[str, Any]] = deque()
        self._asked = 0
        self._wired = ExitStack()

    def __enter__(self) -> Self:
        """Start it."""
        home = {"HOME": self._folder.name, "XDG_CONFIG_HOME": self._folder.name, "XDG_CACHE_HOME": self._folder.name}
        self._process = subprocess.Popen(
            [self._program, f"--user-data-dir={self._folder.name}/profile", *FLAGS],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            env={**os.environ, **home}, start_new_session=True,
        )  # fmt: skip
        try:
            wire = connect(
                self._address(), max_size=MOST_BYTES, open_timeout=START_SECONDS, compression=None, proxy=None
            )
            self._wire: ClientConnection = self._wired.enter_context(wire)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        """End it, and its profile."""
        with suppress(BrowserError, WebSocketException, OSError):
            self.call("Browser.close")
        self._wired.close()
        self._end()

    def _end(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its own group: renderers and zygotes too
        self._process.wait(ANSWER_SECONDS)
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._folder.cleanup()

    def _address(self) -> str:
        """Where it listens, which it says once."""
        said: list[str] = []
        assert self._process.stderr is not None
        too_late = Timer(START_SECONDS, self._process.kill)
        too_late.start()
        try:
            for line in self._process.stderr:
                said.append(line)
                if found := re.search(r"DevTools listening on (ws://\S+)", line):
                    return found[1]
        finally:
            too_late.cancel()
        raise BrowserError(f"Chromium did not start:\n{''.join(said[-10:])}")

    def call(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """One command; what other things happen meanwhile goes to their pages."""
        self._asked += 1
        asked = {"id": self._asked, "method": method, "params": parameters}
        self._wire.send(json.dumps(asked if session is None else {**asked, "sessionId": session}))
        while True:
            told = self._hear()
            if told.get("id") == self._asked:
                if "error" in told:
                    raise BrowserError(f"{method}: {told['error'].get('message')}")
                result: dict[str, Any] = told["result"]
                return result

    def wait(self, method: str, session: str) -> dict[str, Any]:
        """Until that event of that page."""
        for told in self._early:
            if told.get("method") == method and told.get("sessionId") == session:
                self._early.remove(told)
                return told
        while True:
            told = self._hear()
            if told.get("method") == method and told.get("sessionId") == session:
                return told

    def _hear(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(self._wire.recv(ANSWER_SECONDS))
        except TimeoutError as error:
            raise BrowserError(f"no answer from Chromium in {ANSWER_SECONDS:.0f} s") from error
        if told.get("method") == "Page.loadEventFired":
            self._early.append(told)
        page = self._pages.get(told.get("sessionId", ""))
        if page is not None and "method" in told:
            page.heard(told["method"], told["params"])
        return told

    def open(self, path: Path | str, *, width: int = 1440, height: int = 900, dark: bool = False) -> Page:
        """A file (or an address), loaded to its end, in a window of that size."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.colours(dark=dark)
        self._early.clear()
        self._pages[session] = page  # from here on: the blank page before is nobody's business
        address = path.resolve().as_uri() if isinstance(path, Path) else path
        gone = page.call("Page.navigate", url=address)
        if gone.get("errorText"):
            raise BrowserError(f"{address}: {gone['errorText']}")
        self.wait("Page.loadEventFired", session)
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        return page

    def forget(self, page: Page) -> None:
        """Close a page."""
        self._pages.pop(page.session, None)
        self.call("Target.closeTarget", targetId=page.target)


@contextmanager
def opened(browser: Browser, path: Path | str, **how: Any) -> Iterator[Page]:
    """`Browser.open`, and closed afterwards."""
    page = browser.open(path, **how)
    try:
        yield page
    finally:
        page.close()
