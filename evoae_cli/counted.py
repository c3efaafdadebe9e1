"""How many there are of something, in words, for all floors."""


def several(n: int, noun: str) -> str:
    """`1 worker`, `2 workers`, `1,024 images`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
