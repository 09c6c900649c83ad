"""Hydrogen, a Matrix client for the browser, in a real Chromium: what a responder sees, and what they click.

The client comes from the npm registry, is bundled once into `.venv`, and is served on loopback. The browser reaches
loopback alone; what it asked for elsewhere is kept in `Screen.strays`.
"""

import hashlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from playwright.async_api import Browser, Locator, Page, Route, async_playwright
from tests.support.homeserver import Room
from tests.support.node import ROOT

SOURCE = ROOT / "tests/browser/client"
BUILDS = ROOT / ".venv/hydrogen"
BUILD_S = 240.0
SHOWN_S = 60.0
ONLY_LOOPBACK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # for its own errands too
MISSING = "to show a Matrix client in a browser, install what is missing: apt-get install chromium npm"


def chromium() -> str:
    """The path of a Chromium; skips the test where something is missing."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None or shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(MISSING)
    return found


def client() -> Path:
    """The directory of the bundled client, made anew when one of its sources has changed."""
    sources = sorted(file for file in SOURCE.iterdir() if file.is_file())
    digest = hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in sources)).hexdigest()
    built = BUILDS / digest[:16]
    if not (built / "build/main.js").exists():
        shutil.rmtree(BUILDS, ignore_errors=True)
        built.mkdir(parents=True)
        for file in sources:
            shutil.copy(file, built)
        for command in (["npm", "ci"], ["npm", "run", "build"]):
            done = subprocess.run(
                command, cwd=built, capture_output=True, text=True, check=False, timeout=BUILD_S
            )
            assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return built


@dataclass(frozen=True)
class Screen:
    """A browser's window with the client in it."""

    page: Page
    strays: list[str] = field(default_factory=list)

    async def log_in(self, room: Room) -> None:
        """Sign in as the room's responder, and open the room."""
        who = room.responder
        await self.page.get_by_label("Homeserver").fill(who.url)
        await self.page.get_by_label("Homeserver").press("Tab")
        await self.page.get_by_label("Username").fill(who.user_id)
        await self.page.get_by_label("Password").fill(who.password)
        await self.page.get_by_role("button", name="Log In").click()
        await self.page.locator(".RoomList .name").first.click()
        await self.page.locator(".MessageComposer textarea").wait_for()

    def message(self, text: str) -> Locator:
        """The message in the timeline that holds `text`."""
        return self.page.locator("li.Timeline_message", has_text=text)

    async def standing(self, text: str) -> Locator:
        """The message that holds `text` now, by its event: this client shows an edit of it as a second message."""
        message = self.message(text)
        return self.page.locator(
            f'li.Timeline_message[data-event-id="{await message.get_attribute("data-event-id")}"]'
        )

    async def react(self, message: Locator, key: str) -> None:
        """What a finger does: the message's menu, and a reaction from it."""
        await message.hover()
        await message.locator(".Timeline_messageOptions").click()
        await self.page.locator(".quick-reactions").get_by_role("button", name=key).click()

    async def write(self, text: str) -> None:
        """Type a message, and send it."""
        await self.page.locator(".MessageComposer textarea").fill(text)
        await self.page.keyboard.press("Enter")

    async def picture(self, message: Locator) -> bytes:
        """A message as PNG, with the pointer out of the way."""
        await self.page.mouse.move(1, 1)
        return await message.screenshot()


@asynccontextmanager
async def screen(browser: Browser, address: str) -> AsyncIterator[Screen]:
    """A window without a past, on the client at `address`."""
    context = await browser.new_context(
        viewport={"width": 720, "height": 900}, device_scale_factor=2, locale="en-GB"
    )
    strays: list[str] = []

    async def only_loopback(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            await route.continue_()
        else:
            strays.append(route.request.url)
            await route.abort()

    try:
        await context.route("**/*", only_loopback)
        page = await context.new_page()
        page.set_default_timeout(SHOWN_S * 1000)
        await page.goto(address)
        yield Screen(page, strays)
    finally:
        await context.close()


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[str]:
    """The address of the client while the block lasts."""
    app = web.Application()
    app.router.add_static("/", directory)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/index.html"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def chromium_running() -> AsyncIterator[Browser]:
    """A browser without a window, for the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage", ONLY_LOOPBACK]
        )
        try:
            yield browser
        finally:
            await browser.close()
