"""A drawing that becomes an SVG file: readable on light and dark pages, without scripts, with equal bytes each time."""

from __future__ import annotations

import html

from edgerec.core.text import printable

WIDTH = 880
"""Width of all pictures, in pixels. A README on GitHub is about as wide."""
BEGIN = '<svg xmlns="http://www.w3.org/2000/svg"'
_STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 13px; }
text { fill: #3d444d; }
.card { fill: #ffffff; stroke: #d1d9e0; }
.title { font-size: 19px; font-weight: 600; fill: #1f2328; }
.strong { font-weight: 600; fill: #1f2328; }
.small { font-size: 12px; fill: #59636e; }
.grid { stroke: #d8dee4; fill: none; }
.axis { stroke: #8c959f; fill: none; }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.c0 { stroke: #848b94; } .f0 { fill: #848b94; }
.c1 { stroke: #2f7fc1; } .f1 { fill: #2f7fc1; }
.c2 { stroke: #d55e00; } .f2 { fill: #d55e00; }
@media (prefers-color-scheme: dark) {
text { fill: #d1d7e0; }
.card { fill: #0d1117; stroke: #3d444d; }
.title, .strong { fill: #f0f6fc; }
.small { fill: #9198a1; }
.grid { stroke: #2a313c; }
.axis { stroke: #656c76; }
.c1 { stroke: #58a6ff; } .f1 { fill: #58a6ff; }
.c2 { stroke: #f0883e; } .f2 { fill: #f0883e; }
}
"""
"""The picture has a ground of its own, so it is readable even if the page and the system differ in light and dark."""


class Drawing:
    """Shapes and texts, in the order in which they are drawn.

    Args:
        height: height in pixels. The width is `WIDTH`.
        title: what the picture shows, for people who cannot see it.
    """

    def __init__(self, height: float, title: str) -> None:
        self.height, self.title = height, title
        self._parts: list[str] = []

    def text(self, x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> None:
        """Write one line of text. `y` is its baseline. `anchor` is ``start``, ``middle`` or ``end``."""
        content = html.escape(printable(text), quote=True)
        self._parts.append(f'<text x="{_n(x)}" y="{_n(y)}"{_class(kind)} text-anchor="{anchor}">{content}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str, *, width: float = 1) -> None:
        """Draw a straight line."""
        ends = f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
        self._parts.append(f'<line {ends}{_class(kind)} stroke-width="{_n(width)}"/>')

    def path(self, points: list[tuple[float, float]], kind: str) -> None:
        """Draw a line through points."""
        self._parts.append(f'<polyline points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in points)}"{_class(kind)}/>')

    def bar(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """Draw a filled rectangle."""
        place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0.0))}" height="{_n(height)}"'
        self._parts.append(f'<rect {place} rx="2"{_class(kind)}/>')

    def dot(self, x: float, y: float, radius: float, kind: str) -> None:
        """Draw a filled circle."""
        self._parts.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"{_class(kind)}/>')

    def to_svg(self) -> str:
        """Return the file."""
        size = f'width="{WIDTH}" height="{_n(self.height)}" viewBox="0 0 {WIDTH} {_n(self.height)}"'
        ground = f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{_n(self.height - 1)}" rx="8" class="card"/>'
        title = html.escape(printable(self.title), quote=True)
        lines = [f'{BEGIN} {size} role="img">', f"<title>{title}</title>", f"<style>{_STYLE}</style>", ground]
        return "\n".join([*lines, *self._parts, "</svg>"]) + "\n"


def short(text: str, most: int) -> str:
    """Return a text of at most `most` characters. The end of a longer one becomes an ellipsis."""
    plain = printable(text)
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _n(value: float) -> str:
    """Return a coordinate with at most one decimal, so that a last digit of a float does not change the file."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")
