"""A trained model as an ONNX file, for programs without PyTorch: written, tried out, and only then handed over."""

import inspect
import json
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from evoae_cli.applying.deliver import check_target, deliver
from evoae_cli.errors import EvoaeError, StudyError, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from evoae_cli.study.model import LoadedModel

Part = Literal["whole", "encoder", "decoder"]

TOLERANCE = 1e-4
"""How far a value may lie from PyTorch's. Of images on [-1, 1] that is a 78th of a step of 8 bits."""

OPSET = 17
"""Of ONNX: read by onnxruntime since 1.12, and written by the exporter of every PyTorch since 1.13."""

_NEEDED = ("onnx", "onnxruntime")


def check_installed() -> None:
    """Raise UsageError if a package is missing without which there is no export."""
    missing = [name for name in _NEEDED if (name in sys.modules and sys.modules[name] is None) or not find_spec(name)]
    if missing:
        raise UsageError(f"export needs {' and '.join(missing)}; install them: pip install 'evoae[onnx]'")


def export_onnx(model: "LoadedModel", path: str | Path, part: Part = "whole", *, overwrite: bool = False) -> None:
    """Write `model` as the ONNX file `path`, whole or not at all, after its results were compared with PyTorch's.

    `whole` takes `image` [n, C, H, W] on [-1, 1] and gives `reconstruction` of the same shape; `encoder` takes `image`
    and gives `code` [n, c, h, w]; `decoder` takes `code` and gives `reconstruction`. All are float32. n, H and W are
    free, as long as H and W are multiples of the model's step. What the model is stands in the file's metadata. The
    whole of a model that learnt from noisy images only foretells each pixel from those round it (see `blindspot`), of
    images with sides of 5 at least.

    Raises UsageError if a package is missing or the file cannot be written as asked, StudyError for the decoder of a
    model with skip connections, EvoaeError if PyTorch cannot export the model or the file computes something else.
    """
    check_part(part)
    check_installed()
    path = Path(path)
    check_target("--onnx", path, ".onnx", is_forced=overwrite)
    if part == "decoder" and model.network.has_skips:
        raise StudyError("in this model skip connections pass the code by, so it has no decoder of its own")
    content = _described(_exported(_part(model, part), _example(model, part, 2, 2, 3), part), model, part)
    _compare(content, model, part)
    deliver(path, content)


def check_part(part: str) -> None:
    """Raise UsageError unless there is such a part."""
    if part not in get_args(Part):
        raise UsageError(f"--part {part!r} is unknown; use {', '.join(get_args(Part))}")


def _names(part: Part) -> tuple[str, str]:
    return "code" if part == "decoder" else "image", "code" if part == "encoder" else "reconstruction"


def _part(model: "LoadedModel", part: Part) -> "nn.Module":
    from torch import nn

    from evoae_cli.evaluation.blindspot import foretold

    network = model.network

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: "Tensor") -> "Tensor":
            return self.network.encode(x)

    class Decoder(Encoder):
        def forward(self, x: "Tensor") -> "Tensor":
            return self.network.decode(x)

    class Foretelling(Encoder):
        def forward(self, x: "Tensor") -> "Tensor":
            return foretold(self.network, x)

    whole = Foretelling if model.is_blind else lambda: network
    parts: dict[Part, Any] = {"whole": whole, "encoder": Encoder, "decoder": Decoder}
    made: nn.Module = parts[part]().eval()
    return made


def _example(model: "LoadedModel", part: Part, n: int, high: int, wide: int) -> "Tensor":
    """An input of n images whose codes are `high` x `wide`, or as large as the model needs; always the same."""
    import torch

    from evoae_cli.evaluation.masking import LEAST_SIDE

    network = model.network
    if model.is_blind:
        high, wide = (max(side, -(-LEAST_SIDE // network.step)) for side in (high, wide))
    generator = torch.Generator().manual_seed(n)
    size = (n, int(model.metadata["network"]["channels"]), high * network.step, wide * network.step)
    image = torch.rand(size, generator=generator) * 2 - 1
    # No inference mode: its tensors cannot be traced.
    with torch.no_grad():
        return network.encode(image) if part == "decoder" else image


def _exported(module: "nn.Module", example: "Tensor", part: Part) -> bytes:
    """The ONNX file that PyTorch's TorchScript exporter makes.

    It needs no further package, takes a fiftieth of the other exporter's time (0.09 against 4.7 s), and is the only one
    that every PyTorch since 2.4 has.
    """
    import torch

    entry, result = _names(part)
    axes = {entry: {0: "n", 2: "height", 3: "width"}, result: {0: "n", 2: "height", 3: "width"}}
    if part != "whole":
        axes["code"] |= {2: "code_height", 3: "code_width"}
    choice: dict[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with tempfile.TemporaryDirectory(prefix="evoae-onnx-") as folder, warnings.catch_warnings():
        # That the check of sizes is left out, and that there is another exporter now.
        warnings.simplefilter("ignore")
        file = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                module,
                (example,),
                str(file),
                input_names=[entry],
                output_names=[result],
                dynamic_axes=axes,
                opset_version=OPSET,
                **choice,
            )
        except Exception as error:  # Layers of other people can make the exporter raise anything.
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise EvoaeError(f"PyTorch {torch.__version__} cannot export this model: {reason}") from error
        return file.read_bytes()


def _described(content: bytes, model: "LoadedModel", part: Part) -> bytes:
    """The same file with what a program needs to know of the model in its metadata, all of it as text."""
    import onnx

    metadata = model.metadata
    # What a denoiser is for is said by `noise`; models of older versions have only its strength.
    strength = metadata.get("noise_std_8bit")
    noise = metadata.get("noise") or (f"gaussian:{strength:g}" if strength else "")
    about = {
        "part": part,
        "objective": metadata.get("objective", ""),
        "genotype": metadata.get("genotype", ""),
        "step": str(model.network.step),
        "noise": noise,
        **{name: json.dumps(metadata["pixels"][name]) for name in ("low", "high")},
        "dtype": metadata["pixels"]["dtype"],
        "evoae": json.dumps(metadata),
    }
    file = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(file, about)
    onnx.checker.check_model(file)
    described: bytes = file.SerializeToString()
    return described


def _compare(content: bytes, model: "LoadedModel", part: Part) -> None:
    """Raise EvoaeError unless onnxruntime computes from `content` what PyTorch does, in sizes that were not traced."""
    import numpy as np
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    # So little work is done sooner by one thread.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    entry, result = _names(part)
    module = _part(model, part)
    for n, high, wide in ((1, 5, 4), (3, 1, 7)):
        example = _example(model, part, n, high, wide)
        with torch.inference_mode():
            expected = module(example).numpy()
        [found] = session.run([result], {entry: example.numpy()})
        # A code has a scale of its own; an image reaches 1.
        scale = max(1.0, float(np.abs(expected).max()))
        if found.shape != expected.shape or not np.abs(found - expected).max() <= TOLERANCE * scale:
            raise EvoaeError(
                f"the exported model computes something else than PyTorch ({n} images, code of {high}x{wide}); "
                "nothing was written; please report this with the model"
            )
