"""Small charts beside each other, as SVG text: lines over a logarithmic x axis, y from zero."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, GAP, LEFT, TOP, BOTTOM = 250, 190, 70, 60, 74, 64
COLOURS = ("#1b6ca8", "#c2571a", "#2f7d4f")
MARKS = ("circle", "square", "triangle")


@dataclass(frozen=True)
class Line:
    """`points`: (x, y), x above 0, ascending."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One chart. `title` says what y is, with its unit."""

    title: str
    lines: Sequence[Line]


def draw(title: str, panels: Sequence[Panel], x_title: str, columns: int = 2) -> str:
    """The whole picture."""
    rows = math.ceil(len(panels) / columns)
    width = LEFT + columns * (WIDTH + GAP)
    height = TOP + rows * (HEIGHT + BOTTOM + 20) + 10
    size = f'width="{width}" height="{height}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Helvetica, Arial, sans-serif" fill="#222">',
        f'<rect {size} fill="#fff"/>',
        _text(LEFT, 26, title, size=17),
        _text(LEFT, height - 12, x_title, fill="#555"),
    ]
    for nth, panel in enumerate(panels):
        left, top = LEFT + nth % columns * (WIDTH + GAP), TOP + nth // columns * (HEIGHT + BOTTOM + 20)
        out += _panel(panel, left, top)
    return "\n".join([*out, "</svg>", ""])


def _panel(panel: Panel, left: float, top: float) -> list[str]:
    xs = sorted({x for line in panel.lines for x, _ in line.points})
    step, most = _scale(max(y for line in panel.lines for _, y in line.points))
    low, span = math.log(xs[0]), math.log(xs[-1] / xs[0]) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (math.log(x) - low) / span * WIDTH, top + HEIGHT * (1 - y / most)

    out = [_text(left - 40, top - 18, panel.title, size=13)]
    for tick in range(round(most / step) + 1):
        y = place(xs[0], tick * step)[1]
        out.append(f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="#ddd"/>')
        out.append(_text(left - 8, y + 4, f"{tick * step:g}", anchor="end", fill="#555"))
    for x in xs:
        at = place(x, 0)[0]
        out.append(f'<path d="M{at:.1f} {top + HEIGHT}v5" stroke="#888"/>')
        out.append(_text(at, top + HEIGHT + 18, f"{x:,}", anchor="middle", fill="#555"))
    for nth, line in enumerate(panel.lines):
        colour, spots = COLOURS[nth], [place(x, y) for x, y in line.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [_mark(MARKS[nth], x, y, colour) for x, y in spots]
        key = left + nth * 120
        out.append(_mark(MARKS[nth], key + 4, top + HEIGHT + 36, colour))
        out.append(_text(key + 14, top + HEIGHT + 40, line.name, fill=colour))
    return out


def _scale(most: float) -> tuple[float, float]:
    """A round step of the y axis, and where the axis ends."""
    rough = (most or 1.0) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= rough)
    return step, step * math.ceil(most / step + 1e-9)


def _mark(kind: str, x: float, y: float, colour: str) -> str:
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
    if kind == "square":
        return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" fill="{colour}"/>'
    return f'<path d="M{x:.1f} {y - 4:.1f}l4 7h-8z" fill="{colour}"/>'


def _text(x: float, y: float, said: str, *, size: int = 12, anchor: str = "start", fill: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{escape(said)}</text>'
