"""The last lines of a worker's log, fit to be shown."""

import os
import re

MAX_LOG = 2000
"""Characters of last lines: a stack of Python fits, and a study can keep one for each worker that it loses."""

_BYTES_OF_A_CHARACTER = 4
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def last_lines(log: int, start: int) -> str:
    """At most `MAX_LOG` characters, whole lines if they fit, of what stands in the log `start` bytes from its begin."""
    end = os.fstat(log).st_size
    # Control characters are in it, which do not count: a few times as much is read.
    start = max(start, end - 2 * _BYTES_OF_A_CHARACTER * MAX_LOG)
    text = shown(os.pread(log, max(0, end - start), start).decode(errors="replace"))
    if len(text) <= MAX_LOG:
        return text
    cut = text[-MAX_LOG - 1 :]
    _, _, rest = cut.partition("\n")
    return (rest or cut[1:]).strip("\n")


def shown(text: str) -> str:
    """`text` without colours and control characters: what a terminal, a page or a database can take; lines stay."""
    lines = re.split(r"\r\n|\r|\n", _COLOURS.sub("", text).expandtabs(4))
    return "\n".join("".join(filter(str.isprintable, line)).rstrip() for line in lines).strip("\n")
