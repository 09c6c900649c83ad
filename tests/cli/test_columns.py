"""Tables on a terminal: whatever its width, no word is broken."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from hypothesis import given
from hypothesis import strategies as st

from tocsin_cli.columns import GAP, lay_out, wrap, wrap_talk

ID = "incident--d5ddb711-09f9-4825-8a2f-05711c7a455a"
COLUMNS = ("id", "grade", "modified", "title")
ROW = (ID, "II", "2026-11-29 19:34:22 +00:00", "Sepsis early warning falls silent after an update")
SCRIPT = f"""
from tocsin_cli.output import Output
Output().table({COLUMNS!r}, [{ROW!r}, ({ID!r}, "I", "-", "\\u5012\\u58ca")])
Output().facts([("Because", "{"it goes on " * 12}")])
Output().line("{"Switching it off takes one setting, " * 4}", lines=True)
"""
texts = st.text(st.sampled_from("ab -\u5012"), max_size=40)


def on_screen(width: int) -> list[str]:
    """What a table of reports looks like on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=theirs,
        stdout=theirs,
        env=environment | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
    ) as run:
        os.close(theirs)
        shown = b""
        while True:
            try:
                some = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not some:
                break
            shown += some
    os.close(ours)
    assert run.returncode == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "").splitlines()


def test_on_eighty_columns_an_id_stands_whole_below_its_row():
    lines = on_screen(80)
    assert lines[0].split() == ["grade", "modified"]
    assert f"    id: {ID}" in lines
    assert f"    title: {ROW[3]}" in lines
    assert all(len(line) <= 80 for line in lines)
    assert lines[-2].endswith("one setting,"), "paragraphs break between words, too"
    because = next(at for at, line in enumerate(lines) if line.startswith("Because: it goes"))
    assert lines[because + 1].startswith(" " * len("Because: ") + "goes"), "and facts, beside their label"


def test_where_there_is_room_the_last_column_stays_and_wraps_between_words():
    lines = on_screen(120)
    assert lines[0].split() == list(COLUMNS)
    assert [line.split()[0] for line in lines if ID in line] == [ID, ID]
    assert " ".join(line[-35:].strip() for line in lines[2:4]).endswith("falls silent after an update")


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.tuples(
            st.lists(texts, min_size=n, max_size=n),
            st.lists(st.lists(texts, min_size=n, max_size=n), max_size=3),
        )
    ),
    st.integers(1, 120),
)
def test_every_column_stands_somewhere_once_and_a_grid_of_several_fits(table, width):
    columns, rows = table
    layout = lay_out(columns, rows, width)
    grid = [at for at, _ in layout.grid]
    assert sorted([*grid, *layout.below]) == list(range(len(columns)))
    assert len(grid) == 1 or sum(wide for _, wide in layout.grid) + GAP * (len(grid) - 1) <= width


@given(texts, st.integers(1, 50))
def test_wrapping_keeps_every_word_whole_and_in_order(text, width):
    lines = wrap(text, width)
    assert [word for line in lines for word in line.split()] == text.split()
    assert all(len(line) <= width or " " not in line.strip() for line in lines)


def test_talk_is_broken_between_words_and_no_command_in_it_is():
    text = "→ Leave it out; or file it and share a redacted version (tocsin report redact ID --to lab); or see `tocsin peer status`."
    lines = wrap_talk(f"  {text}", 40)
    assert " ".join(line.strip() for line in lines) == text
    assert all(len(line) <= 42 for line in lines)
    assert lines[0].startswith("  → ")
    assert all(line.startswith("    ") and line[4] != " " for line in lines[1:])
    assert any("tocsin report redact ID --to lab" in line for line in lines)
    assert any("`tocsin peer status`" in line for line in lines)
    step = "Next: tocsin emergency show b0b1a69b-79a1-5e31-872b-f2b83fc4a6db --watch"
    assert wrap_talk(step, 40) == [step]
