import numpy as np
import pytest
import torch

from evoae_cli.evaluation.contract import Augmentation
from evoae_cli.evaluation.imagefile import LabelledImage, pixels, write_image_file
from evoae_cli.evaluation.objective import halves
from evoae_cli.evaluation.resident import Resident

FLIPS = Augmentation(flips=True)


def images(dtype="uint8", channels=3, sizes=((40, 33), (32, 50), (37, 37))):
    rng = np.random.default_rng(5)
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    found = [
        LabelledImage(f"{split}{number}", split, (rng.random((*size, channels)) * top).astype(dtype))
        for split in ("train", "val", "test")
        for number, size in enumerate(sizes)
    ]
    return found, (0.0,) * channels, (float(top),) * channels


def resident_of(tmp_path, found, low, high, patch=16, n_val=7, n_test=6, study_seed=0):
    image_file = write_image_file(found, low=low, high=high, source="test", cache=tmp_path)
    return Resident(image_file, "cpu", patch, n_val, n_test, study_seed)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def is_slice_of(crop, found, split):
    """Whether a crop in source depth, HxWxC, lies somewhere in an image of the split."""
    side = crop.shape[0]
    return any(
        (np.lib.stride_tricks.sliding_window_view(image.pixels, crop.shape)[:, :, 0] == crop).all((2, 3, 4)).any()
        for image in found
        if image.split == split and min(image.pixels.shape[:2]) >= side
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_crop_is_a_slice_of_a_training_image(tmp_path, dtype, channels):
    found, low, high = images(dtype, channels)
    crops = resident_of(tmp_path, found, low, high).sampler(16, Augmentation(), generator()).crops(12)
    assert crops.shape == (12, channels, 16, 16)
    assert crops.dtype == torch.float32
    for crop in crops:
        nhwc = crop.permute(1, 2, 0).double().numpy()
        middle = high[0] / 2
        if dtype == "float32":
            scaled = [image._replace(pixels=(image.pixels - np.float32(0.5)) / np.float32(0.5)) for image in found]
            assert is_slice_of(crop.permute(1, 2, 0).numpy(), scaled, "train")
        else:
            assert is_slice_of((nhwc * middle + middle).round(), found, "train")


def test_flips_mirror_about_half_of_the_crops_and_change_nothing_else(tmp_path):
    resident = resident_of(tmp_path, *images())
    plain = resident.sampler(16, Augmentation(), generator(3)).crops(64)
    flipped = resident.sampler(16, FLIPS, generator(3)).crops(64)
    same = [torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)]
    mirrored = [torch.equal(a.flip(2), b) for a, b in zip(plain, flipped, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 16 < sum(mirrored) < 48


def test_the_generator_alone_decides_which_crops_come(tmp_path):
    resident = resident_of(tmp_path, *images())
    again = resident_of(tmp_path, *images(), n_val=2, study_seed=9)
    torch.manual_seed(0)
    first = resident.sampler(16, FLIPS, generator(1)).crops(8)
    torch.manual_seed(1)
    assert torch.equal(first, again.sampler(16, FLIPS, generator(1)).crops(8))
    assert not torch.equal(first, resident.sampler(16, FLIPS, generator(2)).crops(8))


def test_crops_reach_all_images_and_all_corners(tmp_path):
    corner = np.zeros((20, 24, 1), np.uint8)
    corner[0, 0] = corner[0, -1] = corner[-1, 0] = corner[-1, -1] = 255
    found = [LabelledImage(split, split, corner + number) for number, split in enumerate(("val", "test"), 1)]
    found += [LabelledImage("a", "train", corner), LabelledImage("b", "train", np.full((18, 18, 1), 100, np.uint8))]
    crops = resident_of(tmp_path, found, (0.0,), (255.0,)).sampler(18, Augmentation(), generator()).crops(600)
    is_b = (crops > -0.5).all(dim=(1, 2, 3))
    assert 240 < is_b.sum() < 360
    bright = crops[~is_b] > 0.5
    for row in (0, -1):
        for column in (0, -1):
            assert bright[:, 0, row, column].any()


def names_of(crops):
    """The value that fills each crop of `numbered` images."""
    return ((crops[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def numbered(tmp_path, n, side=8):
    """`n` training images, each filled with its number."""
    found = [LabelledImage(str(number), "train", np.full((side, side, 1), number, np.uint8)) for number in range(n)]
    found += [LabelledImage(split, split, np.zeros((side, side, 1), np.uint8)) for split in ("val", "test")]
    return resident_of(tmp_path, found, (0.0,), (255.0,), patch=side, n_val=1, n_test=1)


def test_an_epoch_sees_every_image_exactly_once_and_the_next_one_in_another_order(tmp_path):
    sampler = numbered(tmp_path, 100).sampler(8, Augmentation(), generator())
    # Batches that do not divide the epoch: a pass goes on across them.
    seen = [number for n in (32, 32, 32, 32, 32, 32, 8) for number in names_of(sampler.crops(n))]
    first, second = seen[:100], seen[100:]
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    assert first != sorted(first)


def test_few_images_are_covered_evenly_in_an_order_that_the_generator_decides(tmp_path):
    resident = numbered(tmp_path, 7)
    seen, again, other = (names_of(resident.sampler(4, FLIPS, generator(seed)).crops(5005)) for seed in (0, 0, 1))
    assert set(np.bincount(seen).tolist()) == {715}
    assert seen == again
    assert seen != other


def test_an_epoch_of_many_images_sees_each_of_them_once_too(tmp_path):
    found = [
        LabelledImage(str(number), "train", np.array([[[number % 256], [number // 256]]], np.uint8).repeat(2, 0))
        for number in range(5000)
    ]
    found += [LabelledImage(split, split, np.zeros((2, 2, 1), np.uint8)) for split in ("val", "test")]
    resident = resident_of(tmp_path, found, (0.0,), (255.0,), patch=2, n_val=1, n_test=1)
    sampler = resident.sampler(2, Augmentation(), generator())
    seen = torch.cat([sampler.crops(1000) for _ in range(5)])
    assert len({tuple(crop.flatten().tolist()) for crop in seen}) == 5000


def test_crops_and_patches_lie_in_memory_as_channels_last(tmp_path):
    resident = resident_of(tmp_path, *images())
    for batch in (resident.sampler(16, FLIPS, generator()).crops(4), resident.patches("val")):
        assert batch.is_contiguous(memory_format=torch.channels_last)


def test_on_a_cpu_the_mapped_file_is_used_without_a_copy(tmp_path, monkeypatch):
    found, low, high = images("uint16")
    image_file = write_image_file(found, low=low, high=high, source="test", cache=tmp_path)
    flat = pixels(image_file)
    monkeypatch.setattr("evoae_cli.evaluation.resident.pixels", lambda _: flat)
    resident = Resident(image_file, "cpu", 16, 2, 2, 0)
    # A change seen through the map is seen through the crops: both are the same memory.
    flat[:] = 65535
    assert resident.sampler(16, Augmentation(), generator()).crops(4).min() == 1.0


@pytest.mark.parametrize("split", ["val", "test"])
def test_patches_are_slices_of_their_split_and_the_same_every_time(tmp_path, split):
    found, low, high = images()
    resident = resident_of(tmp_path, found, low, high)
    patches = resident.patches(split)
    assert len(patches) == {"val": 7, "test": 6}[split]
    assert torch.equal(patches, resident_of(tmp_path, found, low, high).patches(split))
    for patch in resident.to_pixels(patches):
        assert is_slice_of(patch, found, split)


def test_another_study_seed_draws_other_patches_and_val_does_not_depend_on_the_number_for_test(tmp_path):
    first = resident_of(tmp_path, *images()).patches("val")
    assert not torch.equal(first, resident_of(tmp_path, *images(), study_seed=1).patches("val"))
    assert torch.equal(first, resident_of(tmp_path, *images(), n_test=2).patches("val"))


def test_images_of_exactly_the_patch_give_one_patch_each_as_many_as_there_are(tmp_path):
    found, low, high = images(sizes=((16, 16),) * 4)
    resident = resident_of(tmp_path, found, low, high)
    wanted = np.stack([image.pixels for image in found if image.split == "val"])
    np.testing.assert_array_equal(resident.to_pixels(resident.patches("val")), wanted)


def test_a_crop_larger_than_a_training_image_is_refused(tmp_path):
    with pytest.raises(ValueError, match="side 40 do not fit a training image of side 32"):
        resident_of(tmp_path, *images()).sampler(40, Augmentation(), generator()).crops(1)


def test_its_repr_tells_what_it_holds(tmp_path):
    assert repr(resident_of(tmp_path, *images())).startswith("<Resident 9 images (3 train, 3 val, 3 test)")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_gpu_gives_the_same_patches_and_crops_that_are_slices_too(tmp_path, dtype):
    found, low, high = images(dtype)
    image_file = write_image_file(found, low=low, high=high, source="test", cache=tmp_path)
    on_cpu, on_gpu = (Resident(image_file, device, 16, 5, 5, 0) for device in ("cpu", "cuda"))
    torch.testing.assert_close(on_gpu.patches("val").cpu(), on_cpu.patches("val"))
    crops = on_gpu.sampler(16, Augmentation(), torch.Generator("cuda").manual_seed(0)).crops(8)
    assert crops.device.type == "cuda"
    if dtype != "float32":
        assert all(is_slice_of(crop, found, "train") for crop in on_gpu.to_pixels(crops))


def pairs(dtype="uint8", channels=3):
    """Clean images and, 7 values brighter, noisy ones: what belongs together can be told by that."""
    found, low, high = images(dtype, channels)
    step = 7 if dtype != "float32" else np.float32(0.5)
    together = [image._replace(pixels=np.stack((image.pixels + step, image.pixels), 2)) for image in found]
    return together, low, high


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_images_of_a_pair_are_cut_and_mirrored_alike_and_the_noisy_one_is_not_clipped(tmp_path, dtype, channels):
    found, low, high = pairs(dtype, channels)
    # Limits that the noisy images exceed, as those of clean images are.
    top = high if dtype == "float32" else (60_000.0,) * channels
    found = [
        image._replace(pixels=np.minimum(image.pixels, np.array([65_535, 60_000])[:, None]).astype(dtype))
        for image in found
    ]
    resident = resident_of(tmp_path, found, low, top)
    crops = resident.sampler(16, FLIPS, generator(2)).crops(64)
    assert resident.is_paired
    assert crops.shape == (64, 2 * channels, 16, 16)
    noisy, clean = halves(crops)
    assert noisy.is_contiguous(memory_format=torch.channels_last)
    step = 7 / 30_000 if dtype == "uint16" else 1.0
    unclipped = clean < 1
    torch.testing.assert_close((noisy - clean)[unclipped], torch.full_like(clean, step)[unclipped], atol=1e-6, rtol=0)
    assert clean.max() <= 1 < noisy.max()
    single = [image._replace(pixels=image.pixels[:, :, 1]) for image in found]
    alone = resident_of(tmp_path, single, low, top).sampler(16, FLIPS, generator(2)).crops(64)
    torch.testing.assert_close(clean, alone, atol=0, rtol=0)


def test_patches_of_pairs_are_the_stored_pixels_of_both(tmp_path):
    found, low, high = pairs()
    patches = resident_of(tmp_path, found, low, high).patches("val")
    assert patches.shape == (7, 6, 16, 16)
    for patch in patches:
        values = (patch.permute(1, 2, 0).double().numpy() * 127.5 + 127.5).round()
        stored = [image._replace(pixels=image.pixels.reshape(*image.pixels.shape[:2], 6)) for image in found]
        assert is_slice_of(values, stored, "val")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_patches_of_pairs(tmp_path):
    found, low, high = pairs("uint16")
    image_file = write_image_file(found, low=low, high=high, source="test", cache=tmp_path)
    on_cpu, on_gpu = (Resident(image_file, device, 16, 5, 5, 0) for device in ("cpu", "cuda"))
    torch.testing.assert_close(on_gpu.patches("val").cpu(), on_cpu.patches("val"))
