"""What a terminal shows after some output: text, line ends, and the cursor movements that a live view uses."""

from __future__ import annotations

import re

_PIECE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")


def lines_on_screen(output: str) -> list[str]:
    """The lines of a terminal that is never too low, with what has scrolled away."""
    lines, row, column = [""], 0, 0
    position = 0
    while position < len(output):
        piece = _PIECE.match(output, position)
        assert piece is not None, output[position : position + 20]
        position = piece.end()
        text, numbers, command = piece[0], piece[1], piece[2]
        if text == "\r":
            column = 0
        elif text == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif command is None:
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + len(text) :]
            column += len(text)
        elif command == "A":
            row = max(0, row - int(numbers or 1))
        elif command == "K":
            assert numbers == "2", "only whole lines are erased"
            lines[row] = ""
        else:
            assert command == "m" or numbers == "?25", f"unknown command {piece[0]!r}"
    return [line.rstrip() for line in lines]
