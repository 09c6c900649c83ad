"""What a responder sees of an alert in a real Matrix client, and that their answer there reaches the node."""

import asyncio
import io
import tomllib
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from tests.browser.conftest import ORGANISATION
from tests.house.repository import ROOT, WRITE
from tests.support.alarms import room_section
from tests.support.node import open_here, settings_on

PICTURE = ROOT / "deploy/demo/alert.png"
SEVERE = ROOT / "deploy/demo/severe.toml"
STIX = {"Content-Type": "application/stix+json"}
HEADLINE = "ALERT, grade I · critical, 5 of 5 · TLP:GREEN"
GRAVEST = {
    "title": "Sepsis early warning falls silent after an update; eleven patients die",
    "description": "Since the supplier's update on Thursday evening the early-warning model has rated every patient on "
    "dialysis as low risk. In four hospitals the night shift relied on its silence. Switching the model off takes "
    "one setting; other hospitals still run the same release.",
    "quantities": {"deaths": 11, "serious_injuries": 6, "persons_affected": 240},
}
HOSTILE = (
    "<img src=x onerror=alert(1)> <b>bold</b> &lt;i&gt; **md** [click](https://evil.example/a) https://evil.example/b"
    " www.evil.example mailto:x@evil.example @room #ops:evil.example https://matrix.to/#/@mara:evil.example"
)
MARKUP = "a, img, b, i, em, script, iframe, .pill"


@pytest.fixture
def node_with(database, tmp_path, room):
    """Opens a node with the room; what it is given goes into its section on grouping."""

    @asynccontextmanager
    async def opened(**grouping):
        values = {"matrix": room_section(room, tmp_path / "bot-token"), "grouping": grouping}
        async with open_here(settings_on(tmp_path / "node", database, values, org=ORGANISATION)) as node:
            yield node

    return opened


async def file(node, **fields):
    """File the demonstration's report, graver than there, and with `fields` of its own."""
    detected_at = (datetime.now(UTC) - timedelta(minutes=25)).strftime("%Y-%m-%dT%H:%M:%SZ")
    form = tomllib.loads(SEVERE.read_text("utf-8")) | GRAVEST | {"detected_at": detected_at} | fields
    async with node.client.post("/v1/reports", data=node.bundle(**form), headers=STIX) as answer:
        assert answer.status == 201, await answer.text()
        return form


async def acknowledged(node):
    """How the only alert was acknowledged, as soon as it is."""
    async with asyncio.timeout(60):
        while True:
            async with node.client.get("/v1/alerts") as answer:
                [alert] = (await answer.json())["items"]
            if alert["state"] == "acknowledged":
                [ack] = alert["acknowledgements"]
                return ack
            await asyncio.sleep(0.05)


def framed(picture):
    """The same picture with a margin and a fine line around it, in at most 256 colours."""
    from PIL import Image, ImageOps

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image = ImageOps.expand(ImageOps.expand(image, 28, "white"), 2, "#d0d7de")
    smaller = io.BytesIO()
    image.quantize(256).save(smaller, "PNG", optimize=True)
    return smaller.getvalue()


async def test_a_person_sees_the_alert_and_a_reaction_is_the_acknowledgement(node_with, phone, room):
    async with node_with() as node:
        form = await file(node)
        shown = await phone.standing(HEADLINE)
        await shown.get_by_role("heading", name=f"🔴 {HEADLINE}").wait_for()
        text = await shown.inner_text()
        assert await shown.locator("strong").inner_text() == form["title"]
        assert form["description"] in text
        assert "deaths=11" in await shown.get_by_role("list").inner_text()
        codes = await shown.locator("code").all_inner_texts()
        assert codes[0] == "!ack 1"
        assert codes[1].startswith("tocsin report show incident--")
        await phone.react(shown, "👀")
        ack = await acknowledged(node)
        assert (ack["by"], ack["via"], ack["revoked_at"]) == (room.responder.user_id, "reaction", None)
        await shown.get_by_role("button", name="👀 1").wait_for()
        picture = framed(await phone.picture(shown))
    assert phone.strays == []
    if WRITE:
        PICTURE.write_bytes(picture)
    assert PICTURE.stat().st_size < 200_000


async def test_what_strangers_wrote_is_text_and_the_answer_stands_in_the_message(node_with, phone, room):
    async with node_with(interval_s=0) as node:
        await file(node, title=HOSTILE, description=HOSTILE)
        shown = phone.message(HEADLINE).locator(".Timeline_messageBody")
        await shown.wait_for()
        text = await shown.inner_text()
        assert text.count("<img src=x onerror=alert(1)> <b>bold</b> &lt;i&gt; **md** [click]") == 2
        assert await shown.locator(MARKUP).count() == 0
        await phone.write("!ack 1 looking at https://evil.example/c")
        ack = await acknowledged(node)
        assert (ack["by"], ack["via"]) == (room.responder.user_id, "reply")
        assert ack["note"].startswith("looking at")
        edited = phone.message("ACKNOWLEDGED by").locator(".Timeline_messageBody")
        await edited.wait_for()
        assert HEADLINE in await edited.inner_text()
        assert await edited.locator(MARKUP).count() == 0
        said = phone.message("!ack 1 looking").locator(".Timeline_messageBody").locator(MARKUP)
        assert await said.count() == 1, "this client makes a link of an address that is not disarmed"
    assert phone.strays == []
