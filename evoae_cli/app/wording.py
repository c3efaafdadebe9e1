"""How values read on the screen: durations, shortened genotypes, sizes. Plain functions of plain values."""

import textwrap
from collections.abc import Mapping
from typing import Any

ELLIPSIS = "…"


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` columns: its middle gives way, since both ends tell architectures apart."""
    if len(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[: max(width, 0)]
    tail = (width - 1) // 2
    return text[: width - 1 - tail] + ELLIPSIS + text[len(text) - tail :]


def visible(text: str) -> str:
    """`text` in one line: what would move the cursor or colour the screen is written out, as in Python."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def wrapped(line: str, width: int | None) -> list[str]:
    """A line as lines of at most `width` columns, broken between words; a longer word stays whole. None: as it is."""
    if width is None or len(line) <= width:
        return [line]
    return textwrap.wrap(line, max(width, 20), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def clock(seconds: float) -> str:
    """A time that has passed: `0:07`, `12:30`, `1:02:03`."""
    minutes, second = divmod(max(int(seconds), 0), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def about(seconds: float) -> str:
    """A time to come, no more exact than an estimate can be: `about 40 s`, `about 4 min`, `about 2.5 h`."""
    if seconds < 55:
        return f"about {max(10 * round(seconds / 10), 10)} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60) or 1} min"
    return f"about {seconds / 3600:.1f} h"


def db(value: float | None) -> str:
    """A PSNR: `24.6 dB`; a dash where there is none yet."""
    return "-" if value is None else f"{value:.1f} dB"


def by_strength_text(scores: Mapping[str, Any]) -> str:
    """`PSNR by strength of the noise: 5 34.1, 22.5 28.9, 40 26.1`; empty where it has one strength or none."""
    found = scores.get("psnr_by_strength") or {}
    if len(found) < 2:
        return ""
    return "PSNR by strength of the noise: " + ", ".join(f"{strength} {psnr:.1f}" for strength, psnr in found.items())


def size(n_bytes: float) -> str:
    """`512 B`, `3.4 MB`, `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"
