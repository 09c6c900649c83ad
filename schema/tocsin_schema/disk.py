"""Objects on disk instead of in memory: a SQLite file of one's own, for as long as it is needed."""

import sqlite3
import tempfile
from pathlib import Path
from typing import Self


class Disk:
    """A SQLite file with tables of its own; a context manager that takes the file away at the end."""

    def __init__(self, schema: str) -> None:
        self._dir = tempfile.TemporaryDirectory(prefix="tocsin-objects-")
        self._db = sqlite3.connect(Path(self._dir.name) / "objects.sqlite", isolation_level=None)
        self._db.executescript("pragma journal_mode = off; pragma synchronous = off;" + schema)
        self._db.execute("begin")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._dir.cleanup()
