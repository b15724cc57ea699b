"""A headless Chromium, driven through its debugging pipe: no port, no network, no other program.

What it loads is the page as it is. Everything it would fetch is asked for at a proxy that nobody
listens at, and is recorded besides, so a test can say that nothing was.
"""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

PATIENCE_S = 60

# What would call home, or keep the browser busy with something else than the page.
QUIET = ("--no-first-run", "--no-default-browser-check", "--disable-background-networking",
         "--disable-component-update", "--disable-default-apps", "--disable-domain-reliability",
         "--disable-extensions", "--disable-sync", "--disable-breakpad", "--disable-gpu",
         "--disable-features=OptimizationHints,MediaRouter,Translate,DialMediaRouteProvider",
         "--metrics-recording-only", "--password-store=basic", "--use-mock-keychain",
         "--proxy-server=127.0.0.1:9", "--host-resolver-rules=MAP * ~NOTFOUND")


def program():
    return shutil.which("chromium")


class Browser:
    """One tab. `console` and `requests` are what the pages said and asked for so far."""

    def __init__(self, path):
        self.console, self.requests, self.answers, self.loaded = [], [], {}, False
        self.folder = tempfile.mkdtemp(prefix="imprint-sync-chromium.")
        self.rest, self.number, self.session, self.features = b"", 0, None, []
        command_read, self.commands = os.pipe()
        self.events, events_write = os.pipe()
        # The pipe is descriptors 3 and 4, by convention. --no-sandbox: root has none, and neither
        # has a container; what is opened here is a page of our own.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "bash", "-c",
             f'exec "$@" 3<&{command_read} 4>&{events_write}', "bash", path, "--headless",
             "--no-sandbox", "--disable-dev-shm-usage", "--remote-debugging-pipe",
             f"--user-data-dir={self.folder}", *QUIET, "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(command_read, events_write), start_new_session=True,
            env={**os.environ, "HOME": self.folder})
        os.close(command_read)
        os.close(events_write)

    def attach(self):
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setScrollbarsHidden", hidden=True)

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # a session of its own, so only its own
        self.process.wait(PATIENCE_S)
        os.close(self.commands)
        os.close(self.events)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the pipe: JSON, each ended by a zero byte ----

    def ask(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        number = self.number
        self.wait(lambda: number in self.answers, method)
        answer = self.answers.pop(number)
        assert "error" not in answer, f"{method}: {answer}"
        return answer["result"]

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            left = end - time.monotonic()
            ready, _, _ = select.select([self.events], [], [], max(0, left))
            assert ready, f"chromium: not within {PATIENCE_S} s: {what}"
            data = os.read(self.events, 1 << 20)
            assert data, f"chromium ended at {what}"
            *messages, self.rest = (self.rest + data).split(b"\0")
            for message in messages:
                self.take(json.loads(message))

    def take(self, message):
        parameters = message.get("params", {})
        if "id" in message:
            self.answers[message["id"]] = message
        elif message["method"] == "Page.loadEventFired":
            self.loaded = True
        elif message["method"] == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif message["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled",
                                   "Runtime.exceptionThrown"):
            self.console.append(parameters)

    # ---- the page ----

    def show(self, file, width=1280, height=900, scheme="light", media="screen"):
        """Opens a file as a screen of this size would; in CSS pixels, one for each point."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=False)
        self.features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=self.features)
        self.loaded = False
        self.ask("Page.navigate", url=pathlib.Path(file).resolve().as_uri())
        self.wait(lambda: self.loaded, "the page is loaded")

    def evaluate(self, script):
        """The value of a JavaScript expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, whole=True):
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png",
                                         captureBeyondViewport=whole)["data"])

    def pdf(self):
        """As printed by somebody who leaves backgrounds out, on a screen as it is."""
        self.ask("Emulation.setEmulatedMedia", media="", features=self.features)
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=False,
                                         preferCSSPageSize=True)["data"])


@contextlib.contextmanager
def running(path):
    browser = Browser(path)
    try:
        browser.attach()
        yield browser
    finally:
        browser.close()
