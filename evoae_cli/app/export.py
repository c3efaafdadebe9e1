"""`evoae export MODEL --onnx FILE`: a trained model for programs without PyTorch."""

from pathlib import Path
from typing import Annotated, cast

import typer

from evoae_cli.app.common import Debug, ModelName, Quiet
from evoae_cli.app.console import stderr_console
from evoae_cli.app.running import Show


def export(
    model: ModelName,
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="File to write, ending in .onnx.")],
    part: Annotated[
        str,
        typer.Option(
            "--part",
            metavar="PART",
            help="whole (image to reconstruction), encoder (image to code) or decoder (code to reconstruction).",
        ),
    ] = "whole",
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite FILE if it exists.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a model as an ONNX file for any number of images of any size, checked against PyTorch."""
    from evoae_cli.applying.deliver import check_target
    from evoae_cli.applying.export import Part, check_installed, check_part, export_onnx
    from evoae_cli.study.model import find_model

    check_part(part)
    check_target("--onnx", onnx, ".onnx", is_forced=force)
    folder = find_model(model)
    check_installed()
    show = Show(stderr_console(), quiet, is_json=False)
    with show.preparing(f"exporting {folder}"):
        from evoae_cli.study.model import load_model

        export_onnx(load_model(folder), onnx, cast(Part, part), overwrite=force)
    typer.echo(str(onnx))
