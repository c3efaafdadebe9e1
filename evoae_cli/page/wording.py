"""How values read on a page. Plain functions of plain values."""

from typing import Any

NONE = "–"
"""Stands where there is no value."""


def db(value: float | None) -> str:
    """A PSNR in dB, `24.63`."""
    return NONE if value is None else f"{value:.2f}"


def number(value: float | None, digits: int = 2) -> str:
    """`64.20`."""
    return NONE if value is None else f"{value:,.{digits}f}"


def whole(value: int | None) -> str:
    """`60,043`."""
    return NONE if value is None else f"{value:,}"


def short(value: float) -> tuple[str, str]:
    """A number and its unit: `60,043` and nothing, `4.6` and `million`."""
    for factor, unit in ((1e9, "billion"), (1e6, "million")):
        if value >= factor:
            return f"{value / factor:.3g}", unit
    return f"{value:,.0f}", ""


def duration(seconds: float) -> str:
    """`43 s`, `3 min 12 s`, `2 h 05 min`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minute:02} min"
    return f"{minutes} min {second:02} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{second} s"


def setting(value: Any) -> str:
    """A setting as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
