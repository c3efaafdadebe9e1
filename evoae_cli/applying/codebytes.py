"""What codes are once they have been in a file, and what that file takes."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from evoae_cli.applying.codefile import CodedImage, CodeFile, read_codes, to_npz

_BITS = 8


def in_bytes(codes: Tensor, shape: tuple[int, int, int]) -> tuple[Tensor, float]:
    """Codes [n, c, h, w] of images of `shape` (H, W, C) as they come back from a file with 8 bits for each value.

    Also the bytes of that file for each image: it is what `evoae encode --bits 8` writes, compressed without loss.
    """
    images = [CodedImage(f"{number}.png", code.numpy(), shape, "uint8") for number, code in enumerate(codes)]
    content = to_npz(CodeFile(images, "0" * 64), bits=_BITS)
    with tempfile.TemporaryDirectory(prefix="evoae-codes-") as folder:
        path = Path(folder, "codes.npz")
        path.write_bytes(content)
        back = [torch.from_numpy(image.code) for image in read_codes(path).images]
    return torch.stack(back), len(content) / len(codes)
