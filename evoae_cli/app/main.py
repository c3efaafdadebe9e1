"""The console entry `evoae`: runs a command and turns what it raises into one line and an exit code."""

import contextlib
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Annotated, TextIO, cast

import typer
from rich.console import Console
from typer.main import get_command

from evoae_cli.app import (
    decode,
    denoise,
    doctor,
    encode,
    export,
    hosts,
    join,
    key,
    listing,
    nameserver,
    random_baseline,
    report,
    resume,
    scale_benchmark,
    search,
    show,
    stop,
    train,
    workers,
)
from evoae_cli.app.common import Session
from evoae_cli.app.console import ResultStream, fill_streams, let_go, say, stderr_console
from evoae_cli.app.helptext import PlainCommand, PlainGroup, show_help
from evoae_cli.app.signals import Ended, ending_in_order, exit_code
from evoae_cli.errors import EvoaeError
from evoae_cli.version import __version__

app = typer.Typer(
    name="evoae",
    cls=PlainGroup,
    help="Design autoencoders by evolution, and train them.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("search", cls=PlainCommand)(search.search)
app.command("train", cls=train.TrainCommand)(train.train)
app.command("random-baseline", cls=PlainCommand)(random_baseline.random_baseline)
app.command("scale-benchmark", cls=PlainCommand)(scale_benchmark.scale_benchmark)
app.command("resume", cls=PlainCommand)(resume.resume)
app.command("show", cls=PlainCommand)(show.show)
app.command("report", cls=PlainCommand)(report.report)
app.command("list", cls=PlainCommand)(listing.list_)
app.command("workers", cls=PlainCommand)(workers.workers)
app.command("stop", cls=PlainCommand)(stop.stop)
app.command("denoise", cls=PlainCommand)(denoise.denoise)
app.command("encode", cls=PlainCommand)(encode.encode)
app.command("decode", cls=PlainCommand)(decode.decode)
app.command("export", cls=PlainCommand)(export.export)
app.command("join", cls=PlainCommand)(join.join)
app.command("nameserver", cls=PlainCommand)(nameserver.nameserver)
app.command("hosts", cls=PlainCommand)(hosts.hosts)
app.command("key", cls=PlainCommand)(key.key)
app.command("doctor", cls=PlainCommand)(doctor.doctor)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"evoae {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, metavar="", help="Print the version, and exit."
        ),
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        show_help(ctx)


def run(argv: Sequence[str] | None = None, platform: str = sys.platform) -> None:
    """Run `evoae` with `argv` (None: the command line's) and exit: 0 done, 1 failed, 2 wrong use, 130, 143 stopped."""
    if platform == "win32":
        say(stderr_console(), "evoae does not run on Windows; use Linux, macOS, or WSL2 on Windows")
        sys.exit(2)
    if not fill_streams():
        say(stderr_console(), "evoae: stdout is closed; send it somewhere, as > /dev/null", "red")
        sys.exit(1)
    results = ResultStream(sys.stdout)
    with contextlib.redirect_stdout(cast(TextIO, results)):
        code = _exit_code(list(sys.argv[1:] if argv is None else argv), results)
    for stream in (sys.stdout, sys.stderr):
        let_go(stream)
    sys.exit(code)


def _exit_code(argv: list[str], results: ResultStream) -> int:
    console, session = stderr_console(), Session()
    try:
        with ending_in_order():
            code = get_command(app).main(args=argv, prog_name="evoae", standalone_mode=False, obj=session)
        # A full disk, and a reader that went away, are noticed here, not by the interpreter on its way out.
        results.flush()
    except EvoaeError as error:
        say(console, f"evoae: {_one_line(error)}", "red")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Ended as end:
        return exit_code(end.signum)
    except Exception as error:
        if error is not results.error:
            return _failed(error, session, console)
        if not isinstance(error, BrokenPipeError):
            say(console, f"evoae: cannot write the result to stdout: {error.strerror}", "red")
        return 1
    return code if isinstance(code, int) else 0


def _failed(error: Exception, session: Session, console: Console) -> int:
    """Wrong use that typer found, or a bug."""
    # typer's errors come from click or from a copy of it, by version; they all have this.
    describe = getattr(error, "format_message", None)
    if describe is not None:
        say(console, f"evoae: {_one_line(describe())}", "red")
        return int(getattr(error, "exit_code", 2))
    trace = "".join(traceback.format_exception(error))
    if session.is_debug:
        sys.stderr.write(trace)
        return 1
    with tempfile.NamedTemporaryFile("w", prefix="evoae-", suffix=".log", delete=False) as log:
        log.write(f"evoae {__version__}, Python {sys.version}\n{trace}")
    summary = f"{type(error).__name__}: {_one_line(error)}"
    say(console, f"evoae: this is a bug in evoae ({summary}); the details are in {log.name}", "red")
    return 1


def _one_line(message: object) -> str:
    return " ".join(str(message).split())
