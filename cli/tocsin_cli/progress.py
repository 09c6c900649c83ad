"""A progress bar on stderr for a person who waits at a terminal; nothing at all for anybody else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tocsin_cli.output import Output, on_terminal

Advance = Callable[[int], None]


@contextmanager
def progress(out: Output, label: str, total: int | None, *, printing: bool = False) -> Iterator[Advance]:
    """Give a function that moves the bar to an absolute position of `total` (None: not known).

    `printing`: data goes to stdout meanwhile, which a bar on the same terminal would be mixed into.
    """
    mixed = printing and on_terminal(sys.stdout)
    if out.quiet or out.as_json or mixed or not on_terminal(sys.stderr):
        yield lambda _position: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out.console(sys.stderr), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda position: bar.update(task, completed=position)
