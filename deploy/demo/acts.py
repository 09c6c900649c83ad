"""The acts of the demonstration, one function each: they do, they tell, and they return what was measured.

Each reaches the nodes only as people do: by the command line, the HTTP API and a Matrix client.
"""

import json
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import samples
from organisation import Organisation, StepFailed, until
from phone import Arrival
from scene import Scene
from story import Story
from wire import Search

HERE = Path(__file__).parent
SAMPLES = HERE / "incidents.toml"
SEVERE = HERE / "severe.toml"
FLOW_TIMEOUT_S = 30.0
SYNC_TIMEOUT_S = 240.0
TITLES_SEARCHED = 50


@dataclass(frozen=True)
class Imported:
    """What an import said of itself, and the titles of some of what came in."""

    imported: int
    refused: int
    titles: list[str]


@dataclass(frozen=True)
class Rung:
    """One severe report, and the milliseconds from its commit to what followed."""

    report_id: str
    form: dict[str, Any]
    bundle: dict[str, Any]
    stored_ms: float
    seen_ms: float


def introduce(scene: Scene, story: Story) -> None:
    """Who is there."""
    story.fact("Matrix", f"Synapse at {scene.synapse.url}, one room for each organisation")
    for node in scene.nodes:
        told = node.get("/node")
        story.fact(node.name, f"node {told['node_id'][:16]}… with a PostgreSQL of its own")
    story.fact("between them", "a proxy that keeps every byte")


def become_peers(scene: Scene, story: Story) -> None:
    """Invite, join, eight words, and a yes on both sides."""
    hospital, lab = scene.nodes
    story.command("tocsin peer invite hospital", lab.name)
    invite = lab.tocsin("peer", "invite", "hospital").strip()
    story.command("tocsin peer join --name lab", hospital.name)
    joined = hospital.tocsin_json("peer", "join", "--name", "lab", stdin=invite + "\n")
    until(lambda: lab.get("/peers/hospital"), within_s=FLOW_TIMEOUT_S)
    theirs = lab.tocsin_json("peer", "status", "hospital")
    words = [joined["sas"], theirs["sas"]]
    if not words[0] or words[0] != words[1]:
        raise StepFailed(f"The two sides see different words: {words}")
    story.fact("on both screens", " ".join(words[0]), "1")
    story.fact("", "compared by telephone: nobody sits between them")
    for node, peer in ((lab, "hospital"), (hospital, "lab")):
        story.command(f"tocsin peer approve {peer}", node.name)
        node.tocsin("peer", "approve", peer, "--words", " ".join(words[0]))
    for node, peer in ((lab, "hospital"), (hospital, "lab")):
        seen = node.tocsin_json("peer", "status", peer)
        if seen["state"] != "active":
            raise StepFailed(f"{node.name} does not hold {peer} for active: {json.dumps(seen, indent=2)}")


def import_incidents(scene: Scene, story: Story, data: Path | None) -> Imported:
    """The lab imports incidents and shares them; the hospital gets them all."""
    if data is None:
        kind, file = "stix", samples.write_bundles(SAMPLES, scene.directory / "samples.jsonl")
        story.fact("the samples", "real incidents, from public facts, with their sources")
    else:
        kind, file = "aiid", data
    story.command(f"tocsin import {kind} {file.name} --share", scene.lab.name)
    before = time.monotonic()
    account = scene.lab.tocsin_json("import", kind, str(file), "--share")
    seconds = time.monotonic() - before
    settled = ("imported", "unchanged", "repaired", "refused")
    story.quote([f"{account['read']} read = " + " + ".join(f"{account[name]} {name}" for name in settled)])
    story.fact("which took", f"{seconds:.1f} s")
    refused, kept = int(account["refused"]), int(account["kept_here"])
    imported = int(account["imported"]) + int(account["repaired"])
    if kept:
        story.fact("kept at the lab", f"{kept} that may name people, until somebody has looked")
    if imported == 0 or account["read"] != sum(int(account[name]) for name in settled):
        raise StepFailed(f"The account is not as it should be: {json.dumps(account, indent=2)}")
    stored, waited = _await_all(scene.hospital, "lab", scene.lab)
    if stored != imported - kept:
        raise StepFailed(f"{imported - kept} were shared, but {scene.hospital.name} has stored {stored}.")
    story.fact("at the hospital", f"all {stored} verified, opened, stored, {waited:.1f} s later")
    page = scene.lab.get(f"/reports?limit={TITLES_SEARCHED}")
    return Imported(imported, refused, [str(item["name"]) for item in page["items"]])


def _await_all(receiver: Organisation, peer: str, sender: Organisation) -> tuple[int, float]:
    """Wait until the receiver has dealt with all of the sender's log; returns how many it stored, and seconds."""
    began = time.monotonic()
    size = sender.get("/node")["log"]["size"]
    try:
        until(lambda: receiver.get(f"/peers/{peer}")["log"]["next_index"] >= size, within_s=SYNC_TIMEOUT_S)
    except TimeoutError as exc:
        seen = json.dumps(receiver.get(f"/peers/{peer}"), indent=2)
        raise StepFailed(f"{receiver.name} has not got everything: {seen}\n{receiver.log_tail()}") from exc
    outcomes = receiver.get(f"/peers/{peer}")["outcomes"]
    if outcomes["refused"] or outcomes["quarantined"]:
        raise StepFailed(f"{receiver.name} set entries aside: {json.dumps(outcomes)}")
    return int(outcomes["stored"]), time.monotonic() - began


def ring(scene: Scene, story: Story) -> Rung:
    """The hospital files; the lab's room rings; Mara reacts; the hospital sees that she did."""
    hospital, lab = scene.nodes
    text = f'detected_at = "{_ago(minutes=25)}"\n' + SEVERE.read_text("utf-8")
    form = tomllib.loads(text)
    story.quote(
        [form["title"], f"TLP:{form['tlp'].upper()}, {form['realization']}, {form['systems'][0]['name']}"]
    )
    story.command("tocsin report submit --file -", hospital.name)
    filed = hospital.tocsin_json("report", "submit", "--file", "-", stdin=text)
    report_id = str(filed["id"])
    ours = hospital.get(f"/reports/{report_id}")
    zero = _instant(ours["stored_at"])
    place = filed["entry"]
    story.moment(0, "filed", f"grade {filed['grade']}: {filed['drivers'][0]}")
    story.moment(0, "logged", f"same commit: entry {place['index']}, signed, sealed to the lab")

    theirs = _await_report(lab, report_id)
    stored_ms = (_instant(theirs["stored_at"]) - zero) * 1000
    story.moment(stored_ms, "at the peer", "pulled, verified, opened, stored at the lab")

    seen = _await_message(scene, report_id)
    seen_ms = (seen.at - zero) * 1000
    story.moment(seen_ms, "on the phone", "Mara's own Matrix client shows:")
    story.quote(seen.text.splitlines())

    scene.mara.react(lab.room, seen.event["event_id"])
    reacted_ms = (time.time() - zero) * 1000
    story.moment(reacted_ms, "acknowledged", "Mara reacts with 👀, and that is all she does")
    shown_ms = (_await_acknowledgement(hospital, report_id) - zero) * 1000
    story.moment(shown_ms, "at the origin", "the hospital knows that somebody is on it")
    return Rung(report_id, form, ours["bundle"], stored_ms, seen_ms)


def _await_report(node: Organisation, report_id: str) -> dict[str, Any]:
    try:
        return dict(until(lambda: node.get(f"/reports/{report_id}"), within_s=FLOW_TIMEOUT_S))
    except TimeoutError as exc:
        raise StepFailed(f"The report did not come to {node.name}.\n{node.log_tail()}") from exc


def _await_message(scene: Scene, report_id: str) -> Arrival:
    def about_it(event: dict[str, Any]) -> bool:
        return event["type"] == "m.room.message" and report_id in json.dumps(event["content"])

    try:
        return scene.phone.wait_for(about_it, within_s=FLOW_TIMEOUT_S)
    except TimeoutError as exc:
        raise StepFailed(f"{exc}\n{scene.lab.log_tail()}") from exc


def _await_acknowledgement(node: Organisation, report_id: str) -> float:
    """When the node showed an acknowledgement of the report by somebody else, in seconds since 1970."""

    def shown() -> bool:
        return bool(_remote_acknowledgements(node.get("/alerts")["items"], report_id))

    try:
        until(shown, within_s=FLOW_TIMEOUT_S)
    except TimeoutError as exc:
        raise StepFailed(f"{node.name} was not told of the acknowledgement.\n{node.log_tail()}") from exc
    return time.time()


def acknowledged_at_origin(scene: Scene, story: Story, report_id: str) -> bool:
    """What `tocsin alert list` says at the node that filed."""
    story.command("tocsin alert list", scene.hospital.name)
    items = scene.hospital.tocsin_json("alert", "list")["items"]
    found = _remote_acknowledgements(items, report_id)
    for each in found:
        story.fact("acknowledged", f"by {each['by']} at {each['at'][11:23]} UTC")
    return bool(found)


def _remote_acknowledgements(alerts: Sequence[dict[str, Any]], report_id: str) -> list[dict[str, Any]]:
    return [
        acknowledgement
        for alert in alerts
        if alert["report_id"] == report_id
        for acknowledgement in alert["acknowledgements"]
        if acknowledgement.get("node") and not acknowledgement.get("revoked_at")
    ]


def messages_in_room(scene: Scene) -> int:
    """How many messages of the bot a person sees in the lab's room."""
    found = scene.mara.messages(scene.lab.room)
    return sum(event["sender"] != scene.mara.user_id for event in found)


# Proofs ----------------------------------------------------------------------------------------------------


def prove_sealing(scene: Scene, story: Story, rung: Rung, imported: Imported) -> int:
    """Search everything that crossed between the nodes for the reports' words; returns the pieces found."""
    streams = [stream for node in scene.nodes for stream in node.proxy.streams()]
    form = rung.form
    report = [form["title"], form["description"], *(system["name"] for system in form["systems"])]
    words = Search([*report, *imported.titles])
    control = Search(report).found_in([json.dumps(rung.bundle, ensure_ascii=False).encode()])
    visible = Search([node.get("/node")["node_id"] for node in scene.nodes]).found_in(streams)
    total = sum(map(len, streams))
    if control != set(Search(report).pieces) or len(visible) < len(scene.nodes):
        raise StepFailed("The search does not find what is certainly there; it proves nothing.")
    found = words.found_in(streams)
    story.fact("searched", f"{total:,} bytes, all that crossed between the nodes")
    story.fact(
        "for", f"{len(words.pieces)} pieces of title, description and names, and of titles that were imported"
    )
    story.fact("each as", "UTF-8, escaped JSON, UTF-16, hex, Base64 at every alignment")
    story.verdict(not found, "on the wire", f"{len(found)} found")
    story.verdict(True, "search works", f"all {len(control)} of the report's found in it, as it was filed")
    story.fact("what can be seen", "NodeIDs, times, sizes, TLP and the report's random id, inside TLS")
    return len(found)


def verify_logs(scene: Scene, story: Story) -> bool:
    """Recompute both logs from their leaves, without trusting the nodes."""
    verified = True
    for node in scene.nodes:
        story.command("tocsin log verify", node.name)
        try:
            told = node.tocsin_json("log", "verify")
        except StepFailed as exc:
            story.verdict(False, node.name, str(exc))
            verified = False
        else:
            story.verdict(True, node.name, f"size {told['size']}, root {str(told['root'])[:32]}…")
    return verified


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _ago(*, minutes: int) -> str:
    moment = datetime.now(UTC) - timedelta(minutes=minutes)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
