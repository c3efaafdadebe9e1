"""A trained denoiser on one image of any size: scaled, padded, cleaned piece by piece, scaled back."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evoae_cli.errors import ImageError

if TYPE_CHECKING:
    from torch import nn

    from evoae_cli.study.model import LoadedModel

Pixels = npt.NDArray[Any]

TILE = 1024
"""Side of the pieces, in pixels: a photograph of 24 million pixels would otherwise need several GB for one layer."""


def denoise_array(model: "LoadedModel", pixels: Pixels, tile: int = TILE) -> Pixels:
    """Clean one image: [H, W] or [H, W, C] in, the same shape and dtype out (uint8, uint16 or floating point).

    A grey image goes through a colour model as three equal channels, and the mean comes back; several channels go
    through a grey model one by one. Raises ImageError for other channel counts, and for values of unknown scale.
    """
    shape = pixels.shape
    image = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if image.ndim != 3 or 0 in shape:
        raise ImageError(f"shape {'x'.join(map(str, shape))} is not understood; an image is [H, W] or [H, W, C]")
    n_channels, n_wanted = image.shape[2], int(model.metadata["network"]["channels"])
    if n_channels == n_wanted:
        cleaned = _clean(model, image, tile)
    elif n_channels == 1 and n_wanted == 3:
        cleaned = _clean(model, np.repeat(image, 3, axis=2), tile).mean(axis=2, keepdims=True)
    elif n_wanted == 1:
        cleaned = np.concatenate([_clean(model, image[:, :, [c]], tile) for c in range(n_channels)], axis=2)
    else:
        raise ImageError(f"the image has {n_channels} channels; this model takes {n_wanted}")
    return _as_dtype(cleaned, pixels.dtype).reshape(shape)


def _clean(model: "LoadedModel", image: Pixels, tile: int) -> npt.NDArray[np.float64]:
    """[H, W, C] -> [H, W, C] in the image's own units, C being the network's channels."""
    import torch

    low, high = limits(model.metadata, image)
    scaled = (image.astype(np.float64) - low) / (high - low) * 2 - 1
    step = 2 ** int(model.metadata["network"]["reductions"])
    height, width = image.shape[:2]
    padded = np.pad(scaled, ((0, -height % step), (0, -width % step), (0, 0)), mode="reflect")
    batch = torch.from_numpy(padded.astype(np.float32)).permute(2, 0, 1)[None]  # [1, C, H, W]
    margin = -(-_reach(model.network, step) // step) * step
    tile = max(tile // step, 1) * step
    cleaned = torch.empty_like(batch)
    with torch.inference_mode():
        for top in range(0, batch.shape[2], tile):
            for left in range(0, batch.shape[3], tile):
                # Each piece sees as far beyond its edge as the network reaches, so the seams do not show.
                above, before = min(margin, top), min(margin, left)
                piece = batch[:, :, top - above : top + tile + margin, left - before : left + tile + margin]
                inner = model.network(piece)[:, :, above : above + tile, before : before + tile]
                cleaned[:, :, top : top + tile, left : left + tile] = inner
    output = cleaned[0, :, :height, :width].permute(1, 2, 0).numpy().astype(np.float64)  # [H, W, C]
    return np.asarray((output + 1) / 2 * (high - low) + low)


def limits(metadata: dict[str, Any], image: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The values of `image` that mean -1 and 1 to the model, [C] each, in the image's units.

    A model trained on other integers than the image's is scaled by the depths (255 to 65535); a floating-point image
    goes through such a model on the scale 0..1. Raises ImageError for a floating-point image beyond that.
    """
    trained = metadata["pixels"]
    low, high = (np.asarray(trained[key], dtype=np.float64) for key in ("low", "high"))
    depths = {"uint8": 255.0, "uint16": 65535.0}
    ours, theirs = depths.get(image.dtype.name), depths.get(trained["dtype"])
    if ours is None and image.dtype.kind != "f":
        raise ImageError(f"pixels of type {image.dtype} are not understood; convert to uint8, uint16 or float32")
    if theirs is None:
        return low, high
    if ours is None:
        if image.min() < 0 or image.max() > 1:
            raise ImageError(
                f"the image holds {image.min():g} to {image.max():g}; this model was trained on {trained['dtype']}: "
                f"convert the image to {trained['dtype']}, or scale it to 0..1"
            )
        ours = 1.0
    return low * ours / theirs, high * ours / theirs


def _reach(network: "nn.Module", step: int) -> int:
    """How far, in pixels, an output can depend on an input: every convolution as if it ran at the code's scale."""
    from torch import nn

    kernels = [max(m.kernel_size) for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    return step * (1 + sum(kernel // 2 for kernel in kernels))


def _as_dtype(values: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> Pixels:
    if dtype.kind == "u":
        return np.rint(values).clip(0, np.iinfo(dtype).max).astype(dtype)
    return values.astype(dtype)
