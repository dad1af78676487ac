"""A picture of what a command printed at a terminal: text on stdin, SVG on stdout; the argument is the command."""

import sys
from xml.sax.saxutils import escape

CHARACTER, LINE, MARGIN = 8.4, 20, 16
COLUMNS = 80


def wrapped(line):
    """As a terminal of that width breaks it."""
    return [line[at : at + COLUMNS] for at in range(0, max(len(line), 1), COLUMNS)]


def picture(lines):
    width = COLUMNS * CHARACTER + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    rows = [
        f'<text x="{MARGIN}" y="{MARGIN + 14 + at * LINE}" xml:space="preserve">{escape(line)}</text>'
        for at, line in enumerate(lines)
    ]
    style = "font: 14px ui-monospace, Menlo, Consolas, monospace; fill: #d8dee9"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" style="{style}">',
            '<rect width="100%" height="100%" rx="8" fill="#1f2430"/>',
            *rows,
            "</svg>",
        ]
    )


printed = [part for line in sys.stdin.read().splitlines() for part in wrapped(line)]
print(picture([f"$ {sys.argv[1]}", *printed]))
