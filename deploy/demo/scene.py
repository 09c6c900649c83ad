"""The scene: a homeserver, two organisations with a node and a room each, and one responder with her phone.

Everything is real and lies in one temporary directory; `with Scene()` takes it all down again, whatever
happened inside.
"""

import contextlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from organisation import Organisation
from phone import Phone
from synapse import Person, Synapse, free_port
from wire import Proxy

HOSPITAL, LAB = "Alder Hospital", "Kestrel AI Lab"


class Scene:
    """`hospital` will file, `lab` will be rung, `mara` is on duty at the lab."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="tocsin-demo-"))
        self.synapse = Synapse(self.directory / "matrix")
        self.hospital = self._organisation(HOSPITAL, "hospital")
        self.lab = self._organisation(LAB, "lab")
        self.mara: Person
        self.phone: Phone

    def _organisation(self, name: str, slug: str) -> Organisation:
        port = free_port()
        return Organisation(name, slug, self.directory / slug, port, Proxy(port))

    @property
    def nodes(self) -> tuple[Organisation, Organisation]:
        """Both organisations."""
        return self.hospital, self.lab

    def __enter__(self) -> Self:
        self._open.callback(shutil.rmtree, self.directory, ignore_errors=True)
        try:
            self._set_up()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _set_up(self) -> None:
        """The homeserver first, since the nodes are told of their rooms; the two nodes side by side."""
        self._open.callback(self.synapse.kill)
        self.synapse.start()
        for node in self.nodes:
            self._open.enter_context(node.proxy)
        self.synapse.wait_ready()
        with ThreadPoolExecutor() as pool:
            _, self.mara = pool.map(self._organise, self.nodes, ("nils", "mara"))
        self.phone = self._open.enter_context(Phone(self.mara, self.lab.room))
        for node in self.nodes:
            self._open.callback(node.await_stop)
        for node in self.nodes:
            self._open.callback(node.ask_to_stop)
            node.start()
        with ThreadPoolExecutor() as pool:
            list(pool.map(Organisation.wait_ready, self.nodes))

    def _organise(self, node: Organisation, responder_name: str) -> Person:
        """A room with the organisation's bot and its responder in it, and the node; returns the responder."""
        responder = self.synapse.register(responder_name)
        bot = self.synapse.register(f"tocsin-{node.slug}")
        room = responder.create_room(bot.user_id, name=f"{node.name}: AI incidents")
        bot.join(room)
        node.initialise(self.synapse, bot, room, responder.user_id)
        return responder


def alone_on_this_machine() -> None:
    """Keep a person's own TOCSIN_ variables, and proxies for the outside, away from the scene."""
    for name in list(os.environ):
        if name.startswith("TOCSIN_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            del os.environ[name]
