"""A headless Chromium that tests steer over a pipe, by the DevTools protocol: no driver and no port."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60.0  # for one answer [s]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions", "--mute-audio"),
    "--remote-debugging-pipe",
)
# The browser listens at descriptor 3 and answers at 4.
LAUNCH = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(x), fcntl.F_DUPFD, 10) for x in sys.argv[1:3]]
for pipe, place in zip(pipes, (3, 4)):
    os.dup2(pipe, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


def found():
    """The path of a Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser of its own; `errors` and `requests` are those since the page was opened."""

    def __init__(self, path):
        self._home = tempfile.TemporaryDirectory(prefix="chromium-")
        heard, self._out = os.pipe()
        self._in, said = os.pipe()
        command = [sys.executable, "-SEc", LAUNCH, str(heard), str(said), path, *FLAGS, f"--user-data-dir={self._home.name}"]
        silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, pass_fds=(heard, said), **silent)
        os.close(heard)
        os.close(said)
        self._numbers, self._rest, self._session = itertools.count(1), b"", None
        self.errors, self.requests = [], []
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self):
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self):
        """End the browser."""
        try:
            self.send("Browser.close", session=False)
            self._process.wait(10)
        except (OSError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._home.cleanup()

    def send(self, method, session=True, **parameters):
        """Send a command and return its result; events that come before it are heard."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session and session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            answer = self._next(end)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._hear(answer)
        raise TimeoutError(f"no answer to {method}")

    def _next(self, end):
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser is silent")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise OSError("the browser ended")
            self._rest += part
        line, self._rest = self._rest.split(b"\0", 1)
        return json.loads(line)

    def _hear(self, event):
        about = event.get("params", {})
        kind = event.get("method")
        if kind == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif kind == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"):
            self.errors.append(" ".join(str(x.get("value")) for x in about["args"]))
        elif kind == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.errors.append(about["entry"]["text"])
        elif kind == "Network.requestWillBeSent" and not about["request"]["url"].startswith("data:"):
            self.requests.append(about["request"]["url"])

    def open(self, path, width=1200, height=900, dark=False):
        """Open a report in a window of this size, and wait until its views are drawn."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url="about:blank")
        self.errors, self.requests = [], []
        self.send("Page.navigate", url=Path(path).resolve().as_uri())
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not self.errors:
            if self.evaluate("document.documentElement?.dataset.ready === 'true'"):
                return self.settle()
            time.sleep(0.05)
        raise AssertionError(f"the page was not drawn: {self.errors}")

    def settle(self):
        """Wait until what was asked for is drawn."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def evaluate(self, expression):
        """The value of an expression of JavaScript."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"].get("exception", {}).get("description"))
        return found["result"].get("value")

    def press(self, key):
        """Press a key where the focus is."""
        code = {"ArrowRight": 39, "ArrowLeft": 37, "Enter": 13, "Tab": 9, " ": 32, "End": 35, "Home": 36}[key]
        text = {"Enter": "\r", " ": " "}.get(key)
        both = {"key": key, "windowsVirtualKeyCode": code, "code": "Space" if key == " " else key}
        self.send("Input.dispatchKeyEvent", type="keyDown", **both, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **both)

    def point(self, x, y):
        """Move the pointer to a place of the window."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path, whole=True):
        """Save a picture of the page."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        area = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}} if whole else {}
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **area)
        Path(path).write_bytes(base64.b64decode(found["data"]))
