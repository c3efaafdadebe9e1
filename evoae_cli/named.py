"""Values that people name as `module:attribute`, in a Python file of their own."""

import contextlib
import importlib
import sys
from collections.abc import Iterable, Iterator

from evoae_cli.errors import UsageError, first_line


def named_value(option: str, name: str, *, what: str, known: Iterable[str]) -> object:
    """The value that `name`, `module:attribute`, names; `option` is how it is given, `what` what it is.

    The module is looked for as `import` does, and in the current folder. `known` are the names that would have done.
    Raises UsageError, with the remedy, where there is none.
    """
    module, colon, attribute = name.partition(":")
    if module.endswith(".py") and colon:
        module = module.removesuffix(".py")
        raise UsageError(
            f"{option} {name!r} names a file; name the module in it: {module.replace('/', '.')}:{attribute}"
        )
    if not colon or not attribute or not all(part.isidentifier() for part in module.split(".")):
        raise UsageError(
            f"{option} {name!r} is unknown; use {', '.join(known)}, or module:attribute for one of your own"
        )
    try:
        return getattr(_imported(option, module, name, what), attribute)
    except AttributeError:
        raise UsageError(f"{option} {name}: {module} has no {attribute!r}; name the {what} in it") from None


@contextlib.contextmanager
def here_importable() -> Iterator[None]:
    """Have `import` look into the current folder too, behind all others.

    It is where a person who names a module has it; a command's own path does not hold it.
    """
    is_added = "" not in sys.path
    if is_added:
        sys.path.append("")
    try:
        yield
    finally:
        if is_added:
            sys.path.remove("")


def _imported(option: str, module: str, name: str, what: str) -> object:
    try:
        with here_importable():
            return importlib.import_module(module)
    except UsageError as error:
        raise UsageError(f"{option} {name}: {error}") from error
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise UsageError(f"{option} {name}: {module} needs {error.name!r}, which is not installed") from error
        raise UsageError(
            f"the {what} {name} is not found: {error}; run where {module.replace('.', '/')}.py lies, "
            "or put that folder into PYTHONPATH"
        ) from error
    except Exception as error:
        # It is a person's own program, so what it raises is theirs to mend.
        raise UsageError(f"{option} {name}: {module} fails: {type(error).__name__}: {first_line(error)}") from error
