"""The page of a run in progress, served to this machine only.

The page uses long polling: a request for updates is answered when there is one, or after a while.
When the run ends between two requests, the server waits a moment for the next one, so that the
page receives the end.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from evop_deap.base.errors import EvopError
from evop_deap.reporting.page import content, page
from evop_deap.runs.listeners.progress import Progress
from evop_deap.runs.storage.loaded_run import load_search

if TYPE_CHECKING:
    from evop_deap.evolution.state import EvolutionState
    from evop_deap.runs.storage.heuristic_state import HeuristicState
    from evop_deap.runs.storage.result import SearchResult

_HOST = "127.0.0.1"
_PATIENCE = 20.0  # seconds until a request without news is answered
_GRACE = 10.0  # seconds to wait for the next request of a page


class LiveReport(Progress):
    """Serves the page of a run from the start of its search until the `with` block ends.

    Args:
        folder: folder of the run.

    Example:
        >>> with LiveReport(Path("runs/demo")) as live:
        ...     live.url is None  # nothing is served before there is something to show
        True
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed = threading.Condition()
        self._version = 0
        self._status = "Searching."
        self._ended = False
        self._expected: list[float] = []  # deadlines of the next request of each page
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> LiveReport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._change("The run has ended." if error is None else "The run has stopped.", ended=True)
        if self._server is not None:
            self._await_last_requests()
            self._server.shutdown()
            self._server.server_close()  # waits for responses in progress

    @property
    def url(self) -> str | None:
        """URL of the page; None before the search has begun."""
        if self._server is None:
            return None
        return f"http://{_HOST}:{self._server.server_address[1]}/"

    def searching(self, done: int, expected: int | None) -> None:
        """Start the server, and print its URL."""
        if self._server is not None:
            return
        self._server = ThreadingHTTPServer((_HOST, 0), _handler(self))
        self._server.daemon_threads = False
        threading.Thread(target=self._server.serve_forever, name="live report", daemon=True).start()
        print(f"live report: {self.url}", file=sys.stderr, flush=True)  # noqa: T201

    def budget(self, folder: Path, text: str) -> None:
        """Serve the run in `folder` from now on."""
        self._folder = folder
        self.stage(text)

    def stage(self, text: str) -> None:
        """Show the message as the status."""
        self._change(f"{text[:1].upper()}{text[1:]}.")

    def generation(self, state: EvolutionState | HeuristicState) -> None:
        """Announce a new row."""
        self._change(self._status)

    def finished(self, result: SearchResult) -> None:
        """Announce the result."""
        self._change("The run has ended.")

    def whole(self) -> str:
        """Return the current page."""
        with self._changed:
            version, status = self._version, self._status
            self._expect_request()
        return page([load_search(self._folder)], live=str(version), status=status)

    def news(self, since: str) -> tuple[str, dict[str, str]] | None:
        """Return the content and its headers if it is newer than `since`, else None."""
        with self._changed:
            if self._expected:
                self._expected.pop(0)
                self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._ended or str(self._version) != since, timeout=_PATIENCE
            )
            version, status, ended = self._version, self._status, self._ended
            if not ended:
                self._expect_request()
        if str(version) == since:
            return None
        headers = {"X-Version": str(version), "X-Status": quote(status)}
        return content([load_search(self._folder)]), headers | ({"X-Ended": "yes"} if ended else {})

    def _expect_request(self) -> None:
        """Expect another request of the page that is answered now, unless it is closed."""
        self._expected.append(time.monotonic() + _GRACE)

    def _await_last_requests(self) -> None:
        with self._changed:
            while (left := max(self._expected, default=0.0) - time.monotonic()) > 0:
                self._changed.wait(left)

    def _change(self, status: str, *, ended: bool = False) -> None:
        with self._changed:
            self._version += 1
            self._status, self._ended = status, ended
            self._changed.notify_all()


def _handler(live: LiveReport) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # a browser that stops reading must not block the run

        def handle(self) -> None:
            with suppress(ConnectionError):  # the page was closed
                super().handle()

        def do_GET(self) -> None:
            name = self.headers.get("Host", "").partition(":")[0]
            if name not in (_HOST, "localhost"):  # DNS rebinding by another site
                self.send_error(403)
                return
            asked = urlsplit(self.path)
            try:
                if asked.path == "/":
                    self._answer(live.whole(), {})
                elif asked.path == "/content":
                    since = parse_qs(asked.query).get("since", [""])[0]
                    found = live.news(since)
                    if found is None:
                        self.send_response(204)
                        self.end_headers()
                    else:
                        self._answer(*found)
                else:
                    self.send_error(404)
            except EvopError as error:
                self.send_error(503, explain=str(error))

        def _answer(self, text: str, headers: dict[str, str]) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing to the terminal."""

    return Handler
