"""Makes the pictures of a study from images on [-1, 1]: see `picturefile`."""

from torch import Tensor

from evoae_cli.evaluation.metrics import psnr_by_image
from evoae_cli.evaluation.picturefile import Column, middle
from evoae_cli.evaluation.pixelscale import to_bytes


def column(name: str, images: Tensor, clean: Tensor | None = None) -> Column:
    """A column of images [n, C, H, W]; with `clean`, alike, each has the PSNR of what is shown of it."""
    shown = _shown(images)
    psnr_db = None if clean is None else tuple(map(float, psnr_by_image(shown, _shown(clean))))
    return Column(name=name, images=to_bytes(shown), psnr_db=psnr_db)


def _shown(images: Tensor) -> Tensor:
    return images[..., middle(images.shape[-2]), middle(images.shape[-1])]
