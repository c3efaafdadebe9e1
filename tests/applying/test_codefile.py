"""Files of codes: plain arrays that other programs take as they are, read back only if they are whole."""

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evoae_cli.applying.codefile import CodedImage, CodeFile, read_codes, to_npz, write_npz
from evoae_cli.errors import UsageError


def make_file(*sizes: tuple[int, int], channels: int = 6) -> CodeFile:
    rng = np.random.default_rng(0)
    images = [
        CodedImage(f"sub/{n}.png", rng.normal(0, 1, (channels, *size)).astype(np.float32), (4, 4, 3), "uint8")
        for n, size in enumerate(sizes or [(2, 2)] * 5)
    ]
    return CodeFile(images, "ab" * 32)


def loaded(content: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(content), allow_pickle=False) as npz:
        return dict(npz)


def test_codes_of_one_size_are_a_matrix_with_one_row_per_image() -> None:
    file = make_file()
    arrays = loaded(to_npz(file))
    assert arrays["codes"].shape == (5, 24)
    assert arrays["codes"].dtype == np.float32
    assert arrays["shape"].tolist() == [6, 2, 2]
    assert arrays["names"].tolist() == [f"sub/{n}.png" for n in range(5)]
    assert arrays["sizes"].tolist() == [[4, 4]] * 5
    assert np.array_equal(arrays["codes"][3].reshape(6, 2, 2), file.images[3].code)


def test_codes_of_several_sizes_are_one_array_each() -> None:
    file = make_file((2, 2), (2, 3), (1, 1))
    arrays = loaded(to_npz(file))
    assert "codes" not in arrays
    for number, image in enumerate(file.images):
        assert np.array_equal(arrays[f"code_{number}"], image.code)


@pytest.mark.parametrize("sizes", [[(2, 2), (2, 2)], [(2, 2), (3, 1)]])
def test_what_was_written_is_read_back_to_the_last_bit(sizes: list[tuple[int, int]], tmp_path: Path) -> None:
    file = make_file(*sizes)
    (tmp_path / "c.npz").write_bytes(to_npz(file))
    found = read_codes(tmp_path / "c.npz")
    assert found.model == file.model
    for one, other in zip(found.images, file.images, strict=True):
        assert (one.name, one.shape, one.depth) == (other.name, other.shape, other.depth)
        assert np.array_equal(one.code, other.code)


@pytest.mark.parametrize("bits", [1, 8, 12, 16])
@pytest.mark.parametrize("sizes", [[(9, 9), (9, 9)], [(2, 2), (3, 1)]])
def test_fewer_bits_round_each_channel_by_half_a_level_at_most(
    bits: int, sizes: list[tuple[int, int]], tmp_path: Path
) -> None:
    file = make_file(*sizes)
    file.images[0].code[2] *= 1000
    for image in file.images:
        image.code[5] = 7.5
    (tmp_path / "c.npz").write_bytes(to_npz(file, bits))
    found = read_codes(tmp_path / "c.npz")
    for channel in range(6):
        before = np.concatenate([image.code[channel].ravel() for image in file.images])
        after = np.concatenate([image.code[channel].ravel() for image in found.images])
        level = (before.max() - before.min()) / (2**bits - 1)
        assert np.abs(after - before).max() <= level * 0.51 + 1e-6
        assert len(np.unique(after)) <= 2**bits


@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize("is_matrix", [True, False])
def test_writing_takes_memory_for_one_code_and_not_for_all(bits: int, is_matrix: bool, tmp_path: Path) -> None:
    file = make_file(*[(100, 100 + number * (not is_matrix)) for number in range(40)])
    with (tmp_path / "c.npz").open("wb") as stream:
        tracemalloc.start()
        write_npz(stream, file, bits)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    all_of_them = sum(image.code.nbytes for image in file.images)
    assert most < all_of_them / 4
    assert (tmp_path / "c.npz").read_bytes()[:2] == b"PK"
    assert [image.name for image in read_codes(tmp_path / "c.npz").images] == [image.name for image in file.images]


def test_8_bits_take_a_quarter_of_the_room() -> None:
    file = make_file(*[(16, 16)] * 20)
    assert len(to_npz(file, 8)) < len(to_npz(file)) * 0.3


CASES: list[tuple[dict[str, Any], str]] = [
    ({"names": None}, "lacks the array 'names'"),
    ({"model": None}, "lacks the array 'model'"),
    ({"codes": None}, "lacks the array 'codes'"),
    ({"shape": None}, "lacks the array 'shape'"),
    ({"codes": np.full((5, 24), np.nan)}, r"NaN or infinite values in the code of sub/0\.png"),
    ({"codes": np.zeros((5, 23))}, "not \\[n, d\\]"),
    ({"codes": np.zeros((5, 24), complex)}, "complex"),
    ({"codes": np.zeros((5, 24), np.uint8)}, "lacks the array 'scale'"),
    ({"shape": np.array([6, 2])}, "not \\[n, d\\]"),
    ({"sizes": np.zeros((5, 2), int)}, "without pixels"),
    ({"sizes": np.ones((4, 2), int)}, "odd array 'sizes'"),
    ({"depths": np.array(["int8"] * 5)}, "depths other than"),
    ({"names": np.array(["a.png"] * 5)}, "an image twice"),
    ({"names": np.array(["../a.png", *"bcde"])}, r"'\.\./a\.png', which is no name below a folder"),
    ({"names": np.array(["/a.png", *"bcde"])}, "no name below"),
    ({"names": np.array([{}] * 5)}, "damaged, or no file of codes"),
]


@pytest.mark.parametrize(("change", "part"), CASES, ids=[part for _, part in CASES])
def test_a_file_that_was_tampered_with_is_refused_in_one_line(
    change: dict[str, Any], part: str, tmp_path: Path
) -> None:
    arrays = {name: array for name, array in (loaded(to_npz(make_file())) | change).items() if array is not None}
    np.savez(tmp_path / "c.npz", **arrays)
    with pytest.raises(UsageError, match=part) as refused:
        read_codes(tmp_path / "c.npz")
    assert "\n" not in str(refused.value)
    assert "evoae encode" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"text", "cut", "flipped"])
def test_what_is_no_whole_npz_is_refused_in_one_line(content: bytes | str, tmp_path: Path) -> None:
    whole = to_npz(make_file())
    spoiled = {"cut": whole[:-40], "flipped": whole[:300] + bytes(40) + whole[340:]}
    (tmp_path / "c.npz").write_bytes(spoiled[content] if isinstance(content, str) else content)
    with pytest.raises(UsageError, match=r"c\.npz .*(damaged|no NPZ)"):
        read_codes(tmp_path / "c.npz")
    with pytest.raises(UsageError, match=r"none\.npz cannot be read: No such file"):
        read_codes(tmp_path / "none.npz")
