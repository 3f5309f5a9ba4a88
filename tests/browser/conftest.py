"""Pages that are opened from disk, in a browser that reaches no network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

PROGRAMS = ("chromium", "google-chrome")


@dataclass
class Opened:
    """A page in the browser, with what it did by itself.

    Attributes
    ----------
    page
        As Playwright knows it.
    complaints
        Warnings and errors of the console, uncaught exceptions, dialogs.
    requests
        Addresses that it asked for besides its own; whatever lies elsewhere is refused.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        """What each element shows."""
        return [text.strip() for text in self.page.locator(selector).all_text_contents()]

    def open(self, address: str) -> None:
        """Go there, and hear all that happens from then on."""
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self._hear("error", str(error)))
        self.page.on("dialog", self._close)
        self.page.on("request", lambda request: self._ask(request.url, address))
        self.page.goto(address)

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("warning", "error"):
            self.complaints.append(text)

    def _close(self, dialog: Dialog) -> None:
        self.complaints.append(f"{dialog.type}: {dialog.message}")
        dialog.dismiss()

    def _ask(self, url: str, address: str) -> None:
        # Pictures may be written into the page.
        if url != address and not url.startswith("data:"):
            self.requests.append(url)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: make test")
    with playwright.sync_playwright() as running:
        # Chromium refuses its sandbox to root.
        is_user = os.geteuid() != 0
        yield running.chromium.launch(executable_path=program, chromium_sandbox=is_user)


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., Opened]]:
    """Opens a file; options are those of Playwright's contexts: `viewport`, the window's size."""
    contexts = []

    def opened(path: Path, **options: Any) -> Opened:
        contexts.append(browser.new_context(offline=True, **options))
        result = Opened(contexts[-1].new_page())
        result.open(path.as_uri())
        return result

    yield opened
    for context in contexts:
        context.close()
