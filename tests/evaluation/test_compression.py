import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from evoae_cli.evaluation.components import principal_components
from evoae_cli.evaluation.compression import BLOCK, BlockPCA, NoJpegError, jpeg
from evoae_cli.evaluation.metrics import psnr_by_image
from evoae_cli.evaluation.pixelscale import to_bytes


def smooth(n: int, side: int, channels: int = 3) -> Tensor:
    """Images that are not alike, and in which neighbours are."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, channels, side // 8, side // 8, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=side, mode="bilinear")


def test_as_many_components_as_values_lose_nothing_and_fewer_lose_the_least() -> None:
    images = smooth(40, 32)
    blocks = images.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    whole = BlockPCA(principal_components([blocks], 192))
    assert torch.allclose(whole.decode(whole.encode(images)), images, atol=1e-4)
    few = BlockPCA(principal_components([blocks[:900], blocks[900:]], 5))
    codes = few.encode(images)
    assert codes.shape == (40, 5, 4, 4)
    # Eckart and Young: the error is that of the singular values that are left out.
    flat = blocks.flatten(1).double()
    left_out = torch.linalg.svdvals(flat - flat.mean(0))[5:].square().sum() / flat.numel()
    assert float((few.decode(codes) - images).double().square().mean()) == pytest.approx(float(left_out), rel=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_the_best_that_fits(channels: int) -> None:
    images = smooth(2, 64, channels)
    coded = jpeg(images, 900)
    back = coded.images
    assert back.shape == images.shape
    assert coded.n_bytes <= 900
    assert 0 < coded.image_s < 1
    pixels = to_bytes(images)[0]
    plain = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    stream = io.BytesIO()
    plain.save(stream, "JPEG", quality=5, optimize=True)
    assert stream.tell() < 900
    worse = torch.from_numpy(np.asarray(Image.open(stream)).reshape(64, 64, channels).copy())
    worse = worse.permute(2, 0, 1)[None].float() / 127.5 - 1
    assert psnr_by_image(back[:1], images[:1]) > psnr_by_image(worse, images[:1])
    more = jpeg(images, 2000).images
    assert (psnr_by_image(more, images) >= psnr_by_image(back, images)).all()


def test_bytes_that_hold_no_jpeg_are_refused() -> None:
    with pytest.raises(NoJpegError, match="no JPEG of 50 bytes"):
        jpeg(smooth(1, 32), 50)
