"""The examples, the hostile reports and the generated files of the schema wing.

`python -m tests.schema.golden` writes them anew; a test compares them with what lies there.
"""

from collections.abc import Iterator
from pathlib import Path

from tests.schema import hostile, samples
from tests.schema.samples import WING

from tocsin_schema import artefacts


def files() -> Iterator[tuple[Path, bytes]]:
    """Every golden file and what it must hold."""
    for name, text in artefacts.files():
        yield WING / name, text.encode()
    for name, raw in samples.examples().items():
        yield WING / "examples" / f"{name}.json", samples.pretty(raw)
    for code, raw in hostile.vectors().items():
        yield WING / "examples" / "hostile" / f"{code}.json", hostile.pretty(raw)


if __name__ == "__main__":
    for path, content in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    artefacts.write(WING)
