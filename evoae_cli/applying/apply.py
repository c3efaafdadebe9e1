"""A trained denoiser on one image of any size: scaled, padded, cleaned piece by piece, scaled back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evoae_cli.applying.noisereading import noise_stds
from evoae_cli.applying.tiles import blended_rows, tiling_for
from evoae_cli.applying.views import check_views, in_views
from evoae_cli.errors import EvoaeError, ImageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from evoae_cli.study.model import LoadedModel

Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

TILE = 768
"""Side of the pieces, in pixels."""


@dataclass(frozen=True)
class Scale:
    """The pixel values that mean -1 and 1 to a model, [C] each (or [1], for all channels), in the image's units."""

    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    least: float = -np.inf
    """No clean value is less, in the image's units: what the model makes is clipped there."""
    most: float = np.inf

    def to_signal(self, pixels: Pixels) -> Floats:
        """Pixels [..., C] on the scale of the model, not clipped."""
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        return np.asarray((pixels - middle) / half, dtype=np.float32)

    def to_values(self, signal: Floats) -> Floats:
        """What the model says, [..., C], in the image's units."""
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        return np.asarray(signal * half + middle, dtype=np.float32)

    def for_channels(self, n: int) -> "Scale":
        """The scale of an image of `n` channels: of grey in a colour model the mean, as the mean is what comes back."""
        if n > 1 or len(self.low) == 1:
            return self
        return replace(self, low=self.low.mean(keepdims=True), high=self.high.mean(keepdims=True))


def denoise_array(
    model: "LoadedModel",
    pixels: Pixels,
    tile: int = TILE,
    on_progress: Callable[[float], None] | None = None,
    *,
    views: int = 1,
) -> Pixels:
    """Clean one image: [H, W] or [H, W, C] in, the same shape and dtype out (uint8, uint16 or floating point).

    A grey image goes through a colour model as three equal channels, and the mean comes back; several channels go
    through a grey model one by one. An image with a side above `tile` is cleaned in pieces that overlap and are
    blended. A model that learnt from noisy images only answers for each pixel without seeing it, and is weighed against
    it. With `views` of 2, 4 or 8 the mean over as many turned and mirrored views of the image is taken, which is a
    little better and takes so many times as long. `on_progress` is called with the share done, 0 to 1. It computes
    where the network is.

    Raises ImageError for other channel counts and for values of unknown scale, UsageError for other `views`, EvoaeError
    if memory is short.
    """
    shape = pixels.shape
    image = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if image.ndim != 3 or 0 in shape:
        raise ImageError(f"shape {'x'.join(map(str, shape))} is not understood; an image is [H, W] or [H, W, C]")
    check_channels(model, image.shape[2])
    return cleaned(model, image, scale_for(model.metadata, image), tile, on_progress, views=views).reshape(shape)


def cleaned(
    model: "LoadedModel",
    image: Pixels,
    scale: Scale,
    tile: int,
    on_progress: Callable[[float], None] | None = None,
    *,
    views: int = 1,
) -> Pixels:
    """What the model makes of `image` [H, W, C] on a scale: the same shape and dtype. Raises EvoaeError."""
    result = np.empty_like(image, order="C")
    for first, rows in _cleaned_rows(model, image, scale, tile, views):
        result[first : first + len(rows)] = as_dtype(rows.clip(scale.least, scale.most), image.dtype)
        if on_progress is not None:
            on_progress((first + len(rows)) / len(image))
    return result


def _cleaned_rows(
    model: "LoadedModel", image: Pixels, scale: Scale, tile: int, views: int
) -> Iterator[tuple[int, Floats]]:
    """Rows of what the model makes of `image` [H, W, C], from the top: (number of the first, [n, W, C] in its units).

    Raises EvoaeError if the memory does not suffice.
    """
    forward, reach = _way_through(model, image, scale, check_views(views))
    tiling = tiling_for(tile, model.network.step, reach)
    n_channels, n_wanted = image.shape[2], channels_of(model)

    def clean(piece: Pixels) -> Floats:
        if n_channels == 1:
            piece = np.broadcast_to(piece, (*piece.shape[:2], n_wanted))
        signal = scale.to_signal(piece)  # [h, w, c]
        if n_wanted == 1:
            output = np.concatenate([forward(signal[:, :, [c]], slice(c, c + 1)) for c in range(n_channels)], axis=2)
        else:
            output = forward(signal, slice(None))
        values = scale.to_values(output)
        return values if n_channels == values.shape[2] else values.mean(axis=2, keepdims=True)

    with memory_told(f"memory is short for pieces of {tiling.tile} pixels; use a smaller --tile"):
        yield from blended_rows(image, tiling, clean)


@contextmanager
def memory_told(line: str) -> Iterator[None]:
    """Where memory runs out within the block, raise EvoaeError with `line`."""
    from evoae_cli.evaluation.memory import is_memory_error

    try:
        yield
    except Exception as error:
        if not is_memory_error(error):
            raise
        raise EvoaeError(line) from error


def channels_of(model: "LoadedModel") -> int:
    """Channels of the images that the model takes."""
    return int(model.metadata["network"]["channels"])


def check_channels(model: "LoadedModel", n_channels: int) -> None:
    """Raise ImageError unless the model takes images of so many channels, as they are or one by one."""
    if not takes_channels(model, n_channels):
        remedy = "to clean each by itself as grey, name them C, as --axes YXC" if takes_channels(model, 1) else None
        raise untaken(n_channels, channels_of(model), remedy)


def untaken(n_channels: int, n_wanted: int, of_grey: str | None = None) -> ImageError:
    """That a model of `n_wanted` channels does not take an image; `of_grey` is the remedy where it takes grey ones."""
    wanted = f"the image has {n_channels} channels; this model takes {n_wanted}"
    if of_grey is not None:
        return ImageError(f"{wanted}, or 1; {of_grey}")
    return ImageError(f"{wanted}; use a model that was trained on such images, or on grey ones")


def takes_channels(model: "LoadedModel", n_channels: int) -> bool:
    """Whether images of so many channels go through the model, as they are or one by one."""
    n_wanted = channels_of(model)
    return n_wanted in (1, n_channels) or (n_channels, n_wanted) == (1, 3)


def scale_for(metadata: dict[str, Any], image: Pixels) -> Scale:
    """The values of `image` that mean -1 and 1 to the model.

    A model trained on other integers than the image's is scaled by the depths (255 to 65535); a floating-point image
    goes through such a model on the scale 0..1, beyond which noise may take it. Raises ImageError for a floating-point
    image on another scale, for values that are no numbers, and for an integer image that lies far outside what a model
    of floating-point images was trained on.
    """
    scale, trained = scale_of(metadata, image.dtype), metadata["pixels"]
    is_float = image.dtype.kind == "f"
    if not (np.isfinite(image.min()) and np.isfinite(image.max())):
        raise ImageError("the image holds pixels that are NaN or infinite; replace them first")
    if trained["dtype"] in _DEPTHS:
        if is_float and _beyond_unit(image) > _FAR:
            raise ImageError(
                f"the image holds {image.min():g} to {image.max():g}; this model was trained on {trained['dtype']}: "
                f"convert the image to {trained['dtype']}, or scale it to 0..1"
            )
        if is_float:
            # What lies within 0..1 stays there, and a background below 0 stays below. What ends at _FAR is taken again.
            low, high = float(image.min()), float(image.max())
            return replace(scale, least=max(min(0.0, low), -_FAR), most=min(max(1.0, high), 1 + _FAR))
    elif not is_float and _is_far_outside(image, scale):
        raise ImageError(
            f"the image holds {image.min()} to {image.max()} in {image.dtype}; this model was trained on "
            f"{trained['dtype']} from {scale.low.min():g} to {scale.high.max():g}: convert the image to that"
        )
    return scale


def scale_of(metadata: dict[str, Any], depth: np.dtype[Any]) -> Scale:
    """The values in an image of this depth that mean -1 and 1 to the model. Raises ImageError for other depths."""
    trained = metadata["pixels"]
    low, high = (np.asarray(trained[key], dtype=np.float64) for key in ("low", "high"))
    if depth.name not in _DEPTHS and depth.kind != "f":
        raise ImageError(f"pixels of type {depth} are not understood; convert to uint8, uint16 or float32")
    if trained["dtype"] not in _DEPTHS:
        return Scale(low, high)
    white = _DEPTHS.get(depth.name, 1.0)
    share = white / _DEPTHS[trained["dtype"]]
    return Scale(low * share, high * share, 0.0, white)


_DEPTHS = {"uint8": 255.0, "uint16": 65535.0}
"""White, of integers."""
_FAR = 0.25
"""How far floats may lie beyond 0..1, as root mean square. Gaussian noise of 25, 50 and 100 takes photographs (those of
scikit-image) up to 0.04, 0.1 and 0.25 beyond. On 0..255 they lie 30 to 180 beyond, and only what is all but black lies
nearer; on -1..1 most lie 0.3 to 0.9 beyond, and with mean 0 and deviation 1 they lie 0.7."""
_MOST_FAR = 0.001
"""Share of the values that may be far outside: some pixels of a sensor always read as white."""


def _is_far_outside(image: Pixels, scale: Scale) -> bool:
    """Whether more than a few values lie beyond the limits of the scale by more than the limits lie apart."""
    low, high = float(scale.low.min()), float(scale.high.max())
    least, most = 2 * low - high, 2 * high - low
    if image.min() >= least and image.max() <= most:
        return False
    n_far = np.count_nonzero(image < least) + np.count_nonzero(image > most)
    return bool(n_far > _MOST_FAR * image.size)


def _beyond_unit(image: Pixels) -> float:
    """How far the values lie beyond 0..1, as root mean square."""
    below, above = image[image < 0].astype(np.float64), image[image > 1].astype(np.float64)
    return float(np.sqrt((np.square(below).sum() + np.square(above - 1).sum()) / image.size))


def as_dtype(values: Pixels, dtype: np.dtype[Any]) -> Pixels:
    """Values in the image's units in its depth: integers are rounded, and clipped to what they can hold."""
    if dtype.kind == "u":
        return np.rint(values).clip(0, np.iinfo(dtype).max).astype(dtype)
    return values.astype(dtype)


_Forward = Callable[[Floats, slice], Floats]
"""Pieces [h, w, c] of some channels of an image on the model's scale -> what they become."""


def _way_through(model: "LoadedModel", image: Pixels, scale: Scale, views: int) -> tuple[_Forward, int]:
    """How pieces of `image` become clean, and how far in pixels a result can depend on the image.

    Of a model that learnt from noisy images only, the mirror image of a pixel stays in view beside an edge that had to
    be padded.
    """
    network = model.network
    device = next(network.parameters()).device
    if not model.is_blind:
        clean = in_views(network, views)
        return lambda signal, channels: _forward(clean, device, signal), network.reach
    import torch

    from evoae_cli.evaluation import blindspot

    variance = torch.from_numpy(noise_stds(image, scale.to_signal)).square()[:, None, None]  # [C, 1, 1]

    def forward(signal: Floats, channels: slice) -> Floats:
        clean = partial(blindspot.cleaned, network, variance=variance[channels])
        return _forward(in_views(clean, views), device, signal)

    return forward, network.reach + blindspot.REACH


def _forward(clean: "Callable[[Tensor], Tensor]", device: "torch.device", signal: Floats) -> Floats:
    """[h, w, c] -> [h, w, c] on the model's scale, c being the network's channels."""
    import torch

    batch = torch.from_numpy(np.ascontiguousarray(signal)).permute(2, 0, 1)[None].to(device)  # [1, c, h, w]
    with torch.inference_mode():
        # As a view of [h, w, c] it is channels_last already.
        output = clean(batch)[0].permute(1, 2, 0)
    result: Floats = output.float().cpu().numpy()
    return result
