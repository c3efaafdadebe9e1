"""The shared key that lets hosts in: a file that only its owner may read."""

import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.hosts.address import Address

KEY_BYTES = 32
_LEAST, _MOST = 32, 1024
"""Characters of a key: fewer can be guessed, and more are no key."""
ENVIRONMENT = "EVOAE_KEY_FILE"


def make_key(path: Path) -> None:
    """Write a new random key to `path`, which must not exist; only its owner may read it.

    Raises UsageError where a file is there or cannot be written.
    """
    try:
        # Whole before it has its name, and never anybody else's to read: `mkstemp` makes files of mode 0600.
        fd, part = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(fd, "w") as file:
                file.write(secrets.token_hex(KEY_BYTES) + "\n")
                file.flush()
                os.fsync(fd)
            os.link(part, path)
        finally:
            os.unlink(part)
    except FileExistsError:
        raise UsageError(f"{path} exists; a key that hosts already have stays as it is: name another file") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); name another file") from error


def read_key(path: Path) -> bytes:
    """The key in `path`. Raises UsageError where it cannot be read, is too short, or others may read it too."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MOST + 1)
    except OSError as error:
        raise UsageError(f"key file {path} cannot be read ({error.strerror}); make one: evoae key {path}") from error
    if not stat.S_ISREG(mode):
        raise UsageError(f"key file {path} is no file; make one with evoae key FILE")
    if stat.S_IMODE(mode) & 0o077:
        raise UsageError(
            f"key file {path} may be used by others (mode {stat.S_IMODE(mode):04o}); make it yours alone: "
            f"chmod 600 {path}"
        )
    key = content.strip()
    if not _LEAST <= len(key) <= _MOST:
        size = f"more than {_MOST}" if len(content) > _MOST else str(len(key))
        raise UsageError(
            f"key file {path} has {size} characters; a key has {_LEAST} to {_MOST}: make one with evoae key FILE"
        )
    return key


def key_for(given: Path | None, addresses: list[Address], environ: Mapping[str, str] = os.environ) -> bytes:
    """The key of a command: that of --key-file, or of EVOAE_KEY_FILE, or for this host alone the user's own.

    The user's own is made when it is first needed. Raises UsageError where another host is involved and no key is
    given: it would be known to this host only.
    """
    if given is not None:
        return read_key(given)
    if environ.get(ENVIRONMENT):
        return read_key(Path(os.path.expanduser(environ[ENVIRONMENT])))
    for address in addresses:
        if not address.is_loopback:
            raise UsageError(
                f"{address} can be reached by other hosts, so it needs a key that they share; make one with evoae key "
                f"FILE, copy it to each, and give --key-file FILE (or set {ENVIRONMENT})"
            )
    own = own_key_file(environ)
    if not os.path.exists(own):
        try:
            own.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvoaeError(f"cannot keep a key in {own.parent} ({error.strerror}); give --key-file FILE") from error
        try:
            make_key(own)
        except UsageError:
            # Another process of this user was faster.
            if not os.path.exists(own):
                raise
    return read_key(own)


def own_key_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the user's own key lies: XDG_CONFIG_HOME/evoae/key, or ~/.config/evoae/key."""
    base = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(os.path.expanduser(base)) / "evoae" / "key"
