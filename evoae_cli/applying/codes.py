"""A model as compressor and feature extractor: an image of any size to its code, and a code back to an image."""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evoae_cli.applying.apply import Scale, as_dtype, channels_of, memory_told, scale_for, scale_of, untaken
from evoae_cli.errors import ImageError, StudyError

if TYPE_CHECKING:
    from torch import Tensor

    from evoae_cli.phenotype.autoencoder import Autoencoder
    from evoae_cli.study.model import LoadedModel

Pixels = npt.NDArray[Any]
Code = npt.NDArray[np.float32]
"""[c, h, w]"""

TILE = 1024
"""Side of the pieces, in pixels of the image: a whole photograph would need several GB for one layer."""

_SHORT = "memory is short for this image; close other programs, or make it smaller"


def encode_array(model: "LoadedModel", pixels: Pixels, tile: int = TILE) -> Code:
    """The code [c, h, w] of one image [H, W] or [H, W, C] (uint8, uint16 or floating point), as float32.

    h and w are H and W divided by the network's step, rounded up: the image is padded by reflection below and on the
    right. A grey image goes through a colour model as three equal channels. Several channels go through a grey model
    one by one; their codes follow each other along the first axis.

    Raises ImageError for other channel counts, and for values of unknown scale, EvoaeError if memory is short.
    """
    import torch

    image = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if image.ndim != 3 or 0 in image.shape:
        shape = "x".join(map(str, pixels.shape))
        raise ImageError(f"shape {shape} is not understood; an image is [H, W] or [H, W, C]")
    network = model.network
    codes = []
    with torch.inference_mode(), memory_told(_SHORT):
        for part in _as_the_model_takes_it(image, channels_of(model)):
            batch = _batch(part, scale_for(model.metadata, part), network.step).to(_device(network))
            codes.append(_piecewise(network.encode, batch, network, tile, before=network.step, after=1))
        code: Code = torch.cat(codes, dim=1)[0].cpu().numpy()
    return code


def decode_array(
    model: "LoadedModel",
    code: npt.ArrayLike,
    shape: tuple[int, ...] | None = None,
    dtype: npt.DTypeLike | None = None,
    tile: int = TILE,
) -> Pixels:
    """The image that the model makes of a code [c, h, w]: the way back of `encode_array`.

    Args:
        model: the model that made the code.
        code: what `encode_array` returned, perhaps changed.
        shape: of the image, [H, W] or [H, W, C]; by default as large as the code allows, with the channels that it has.
        dtype: of the image (uint8, uint16 or floating point); by default that of the images of training.
        tile: side of the pieces that are computed at once, in pixels of the image.

    Raises StudyError for a model that cannot decode, ImageError for a code that is none of this model, or not of an
    image of `shape`, EvoaeError if memory is short.
    """
    import torch

    check_decodes(model)
    values = np.asarray(code, dtype=np.float32)
    wanted = checked_shape(model, values, shape)
    n_wanted, network = wanted[2], model.network
    depth = np.dtype(model.metadata["pixels"]["dtype"] if dtype is None else dtype)
    images = []
    with torch.inference_mode(), memory_told(_SHORT):
        for part in np.split(values, n_wanted if channels_of(model) == 1 else 1):
            batch = torch.from_numpy(np.ascontiguousarray(part))[None].to(_device(network))
            image = _piecewise(network.decode, batch, network, tile, before=1, after=network.step)
            images.append(image[0].permute(1, 2, 0).cpu().numpy())  # [H, W, C]
    scale = scale_of(model.metadata, depth)
    joined = scale.to_values(np.concatenate([image[: wanted[0], : wanted[1]] for image in images], axis=2))
    if joined.shape[2] != n_wanted:
        # Grey, which went in as three equal channels.
        joined = joined.mean(axis=2, keepdims=True)
    return as_dtype(joined.clip(scale.least, scale.most), depth).reshape(wanted if shape is None else shape)


def check_decodes(model: "LoadedModel") -> None:
    """Raise StudyError for a model in which features pass the code by, so that a code alone gives no image."""
    if model.network.has_skips:
        raise StudyError(
            "in this model skip connections pass the code by, so its codes cannot be decoded; "
            "for codes that can: evoae search manifold"
        )


def _batch(image: Pixels, scale: Scale, step: int) -> "Tensor":
    """[H, W, C] of any depth as [1, C, H', W'] on [-1, 1], the sides padded to multiples of `step`."""
    import torch

    padding = [(0, -side % step) for side in image.shape[:2]]
    padded = np.pad(scale.to_signal(image), (*padding, (0, 0)), mode="reflect")
    return torch.from_numpy(padded).permute(2, 0, 1)[None]


def checked_shape(model: "LoadedModel", code: Code, shape: tuple[int, ...] | None) -> tuple[int, int, int]:
    """The image's (H, W, C). Raises ImageError unless `code` can be that of such an image."""
    if code.ndim != 3 or 0 in code.shape:
        raise ImageError(f"shape {'x'.join(map(str, code.shape))} is not that of a code, which is [c, h, w]")
    if not np.isfinite(code).all():
        raise ImageError("the code holds values that are NaN or infinite; encode the image again")
    n_own, n_code, step = channels_of(model), code_channels(model), model.network.step
    n_parts, rest = divmod(code.shape[0], n_code)
    if rest or (n_own > 1 and n_parts > 1):
        raise ImageError(f"the code has {code.shape[0]} channels; those of this model have {n_code}")
    if shape is None:
        return code.shape[1] * step, code.shape[2] * step, n_parts if n_own == 1 else n_own
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ImageError(f"shape {'x'.join(map(str, shape))} is not understood; an image is [H, W] or [H, W, C]")
    height, width, n_channels = (*shape, 1)[:3]
    n_fitting = (n_parts,) if n_own == 1 else (1, n_own) if n_own == 3 else (n_own,)
    if (-(-height // step), -(-width // step)) != code.shape[1:] or n_channels not in n_fitting:
        raise ImageError(
            f"a code of shape {'x'.join(map(str, code.shape))} is not that of an image of shape "
            f"{'x'.join(map(str, shape))}; give the shape of the image that was encoded"
        )
    return height, width, n_channels


def code_channels(model: "LoadedModel") -> int:
    """Channels of the code of an image with the model's own channels."""
    import torch

    network = model.network
    with torch.inference_mode():
        smallest = torch.zeros(1, channels_of(model), network.step, network.step, device=_device(network))
        return int(network.encode(smallest).shape[1])


def fingerprint(model: "LoadedModel") -> str:
    """SHA-256 of the model's weights, by which its codes are known again: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.network.state_dict().items()):
        array = weights.cpu().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _as_the_model_takes_it(image: Pixels, n_wanted: int) -> list[Pixels]:
    """[H, W, C] as parts [H, W, n_wanted], each of which goes through the network by itself."""
    n_channels = image.shape[2]
    if n_channels == n_wanted:
        return [image]
    if n_channels == 1 and n_wanted == 3:
        return [np.repeat(image, 3, axis=2)]
    if n_wanted == 1:
        return [image[:, :, [channel]] for channel in range(n_channels)]
    raise untaken(n_channels, n_wanted)


def _piecewise(
    function: "Callable[[Tensor], Tensor]", x: "Tensor", network: "Autoencoder", tile: int, *, before: int, after: int
) -> "Tensor":
    """`function(x)` for x [1, c, H, W], computed piece by piece.

    One cell of the code is `before` values of x and `after` values of the result along a side. Each piece sees as far
    beyond its edge as the network reaches, so the result is that of the whole.
    """
    import torch

    margin, side = -(-network.reach // network.step) + 1, max(tile // network.step, 1)
    rows = []
    for top in range(0, x.shape[2] // before, side):
        row = []
        for left in range(0, x.shape[3] // before, side):
            above, ahead = min(margin, top), min(margin, left)
            piece = x[
                :,
                :,
                (top - above) * before : (top + side + margin) * before,
                (left - ahead) * before : (left + side + margin) * before,
            ]
            done = function(piece)
            row.append(done[:, :, above * after : (above + side) * after, ahead * after : (ahead + side) * after])
        rows.append(torch.cat(row, dim=3))
    return torch.cat(rows, dim=2)


def _device(network: "Autoencoder") -> Any:
    return next(network.parameters()).device
