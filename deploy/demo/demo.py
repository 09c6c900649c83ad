"""`make demo`: one incident, from a hospital's command line to a responder's phone at the lab, and back.

Everything is real: a Synapse homeserver, two nodes with a PostgreSQL each, the command line, and between the
nodes a proxy that keeps every byte. All of it is gone afterwards; with --keep it runs until Ctrl-C.
"""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import acts
from look_around import how_to_look_around
from organisation import StepFailed
from scene import Scene, alone_on_this_machine
from story import Story
from synapse import MatrixRefused

from tocsin_schema.errors import SchemaError
from tocsin_schema.imports import aiid


def main() -> int:
    """Tell the story; 0 when every step came to its end and all that was to be proved was proved."""
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    alone_on_this_machine()
    story = Story()
    try:
        measured = tell(story, options)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; everything has been taken down.\n")
        return 130
    except StepFailed as exc:
        story.failed(str(exc))
        return 1
    except (MatrixRefused, OSError, RuntimeError, ValueError, LookupError) as exc:
        story.failed(f"{type(exc).__name__}: {exc}")
        return 1
    if options.json:
        print(json.dumps(measured))
    return 0


def tell(story: Story, options: argparse.Namespace) -> dict[str, Any]:
    """All acts in order; returns what was measured.

    Raises: StepFailed as soon as a step does not come to its end or a proof does not hold.
    """
    story.title("Tocsin: two organisations, one alarm", "Every time is in ms since the report was committed.")
    story.step("Two organisations, two nodes, one Matrix homeserver")
    with Scene() as scene:
        acts.introduce(scene, story)
        story.done()
        story.step("They become peers")
        acts.become_peers(scene, story)
        story.done()
        story.step("The lab shares what is known already")
        imported = acts.import_incidents(scene, story, options.data)
        story.done()
        story.step("The hospital reports a grave incident")
        rung = acts.ring(scene, story)
        acknowledged = acts.acknowledged_at_origin(scene, story, rung.report_id)
        messages = acts.messages_in_room(scene)
        story.fact("in the lab's room", f"{messages} message{'' if messages == 1 else 's'}")
        story.done()
        story.step("What an eavesdropper could have read")
        plaintext = acts.prove_sealing(scene, story, rung, imported)
        story.step("Both logs, recomputed")
        verified = acts.verify_logs(scene, story)
        story.done()
        measured = {
            "imported": imported.imported,
            "refused": imported.refused,
            "filed_to_stored_ms": round(rung.stored_ms, 1),
            "filed_to_seen_ms": round(rung.seen_ms, 1),
            "acknowledged_at_origin": acknowledged,
            "plaintext_on_wire": plaintext,
            "messages_in_room": messages,
            "log_verified": verified,
        }
        _insist(measured)
        story.end()
        if options.keep:
            print(how_to_look_around(scene, rung.report_id), flush=True)
            _until_interrupted()
    return measured


def _insist(measured: dict[str, Any]) -> None:
    """Raise StepFailed when something that the story promises did not happen."""
    kept = {
        "Nothing of the report crossed the wire in the open": measured["plaintext_on_wire"] == 0,
        "The origin shows the acknowledgement": measured["acknowledged_at_origin"],
        "Both logs verify": measured["log_verified"],
        "The room has exactly one message about the alert": measured["messages_in_room"] == 1,
    }
    broken = [promise for promise, holds in kept.items() if not holds]
    if broken:
        raise StepFailed("Not true: " + "; ".join(broken) + f".\n{json.dumps(measured)}")


def _until_interrupted() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        sys.stderr.write("\nTaking everything down …\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--keep", action="store_true", help="leave everything running and say how to look around")
    add("--json", action="store_true", help="end with one JSON document on the last line")
    add("--data", type=Path, metavar="FILE", help="import this AIID export (CSV), not the samples")
    options = parser.parse_args()
    if options.data is not None and not options.data.is_file():
        parser.error(f"there is no file {options.data}")
    if options.data is not None and (fault := _unfit(options.data)):
        parser.error(f"{options.data} cannot be imported: {fault}")
    return options


def _unfit(data: Path) -> str:
    """Why a file is no export that can be imported, before anything is started; empty when it is one."""
    with data.open("rb") as stream:
        try:
            next(aiid.read(stream), None)
        except (SchemaError, UnicodeDecodeError) as exc:
            return str(exc)
    return ""


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
