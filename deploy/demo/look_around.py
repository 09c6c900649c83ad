"""What a person may try while the demonstration is left running."""

import sys
from pathlib import Path

from scene import Scene

TEXT = """
Everything is still running, in {directory}. Try, in another terminal:

  As the hospital, which filed:
    export TOCSIN_DIR={hospital}
    {tocsin} report list
    {tocsin} report show {report_id}
    {tocsin} alert list
    {tocsin} peer status lab
    {tocsin} report new                 # file one of your own

  As the lab, which was rung:
    export TOCSIN_DIR={lab}
    {tocsin} alert list
    {tocsin} peer status hospital
    {tocsin} log verify

  As Mara, with any Matrix client:
    homeserver  {homeserver}
    user        {user}
    password    {password}
    room        {room}

  The nodes' logs are {hospital_log} and {lab_log}.

Ctrl-C here stops all of it and leaves nothing behind.
"""


def how_to_look_around(scene: Scene, report_id: str) -> str:
    """Commands to paste, and the responder's login."""
    return TEXT.format(
        directory=scene.directory,
        tocsin=_tocsin(),
        report_id=report_id,
        hospital=scene.hospital.directory,
        lab=scene.lab.directory,
        homeserver=scene.synapse.url,
        user=scene.mara.user_id,
        password=scene.mara.password,
        room=scene.lab.room,
        hospital_log=scene.hospital.log_file.name,
        lab_log=scene.lab.log_file.name,
    )


def _tocsin() -> str:
    """How to call `tocsin` from here: the command of this clone's environment, by the shortest path to it."""
    command = Path(sys.executable).with_name("tocsin")
    try:
        return str(command.relative_to(Path.cwd()))
    except ValueError:
        return str(command)
