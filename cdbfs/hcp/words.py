"""Text of others, made fit to be shown to a user: one line, printable, not long.

Used by everything in hcp. Threads: plain functions.
"""

from __future__ import annotations

MOST = 200


def plain(text: str, most: int = MOST) -> str:
    """`text` as one line of printable characters, at most `most` of them."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 4 * most]).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def last_line(text: str) -> str:
    """The last line that says anything; lines may end as a terminal's do that are written over."""
    lines = [plain(line) for line in text.replace("\r", "\n").split("\n")]
    return next((line for line in reversed(lines) if line), "")
