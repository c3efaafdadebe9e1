"""Many files through one model: what comes out, what cannot be done, and what is said of it."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from denoisers import denoise_files, make_image, make_model
from PIL import Image, ImageCms, ImageOps

from evoae_cli.applying.apply import denoise_array
from evoae_cli.applying.batch import FileResult, Work, run_jobs
from evoae_cli.applying.inputs import plan
from evoae_cli.applying.pixels import write_pixels
from evoae_cli.applying.tryout import figures, parse_added_noise
from evoae_cli.errors import BugError, StudyError, UsageError
from evoae_cli.evaluation.readers import read_image


def save(path: Path, array: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array, photometric="minisblack")
    else:
        Image.fromarray(array).save(path)
    return path


def test_a_folder_is_cleaned_with_its_structure_and_what_is_no_image_is_said(tmp_path: Path) -> None:
    colour, grey, model = make_image((24, 30, 3)), make_image((16, 16)), make_model()
    save(tmp_path / "in/a.png", colour)
    save(tmp_path / "in/deep/b.png", grey)
    save(tmp_path / "in/c.npy", np.zeros((8, 8, 2), np.uint8))
    (tmp_path / "in/bad.png").write_text("no image")
    results = denoise_files(model, [tmp_path / "in"], tmp_path / "out")
    assert np.array_equal(read_image(tmp_path / "out/a.png"), denoise_array(model, colour))
    assert np.array_equal(read_image(tmp_path / "out/deep/b.png")[:, :, 0], denoise_array(model, grey))
    failures = {result.source.name: str(result.failure) for result in results if result.failure}
    assert failures.keys() == {"bad.png", "c.npy"}
    assert all(name in line and "\n" not in line for name, line in failures.items())
    assert "2 channels; this model takes 3" in failures["c.npy"]
    files = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(files) == ["a.png", "deep/b.png"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_stack_is_cleaned_plane_by_plane(dtype: str, tmp_path: Path) -> None:
    stack, model = make_image((4, 17, 18), dtype), make_model(channels=1)
    source = save(tmp_path / "in.tif", stack)
    [result] = denoise_files(model, [source], tmp_path / "out.tif")
    assert result.n_planes == 4
    found = tifffile.imread(tmp_path / "out.tif")
    assert found.dtype == stack.dtype
    assert np.array_equal(found, np.stack([denoise_array(model, plane) for plane in stack]))


def test_channels_are_taken_together_where_they_are_the_models_and_one_by_one_for_a_grey_model(tmp_path: Path) -> None:
    array = make_image((2, 3, 16, 18))
    source = save(tmp_path / "in.npy", array)
    for channels in (1, 3):
        model = make_model(channels=channels)
        denoise_files(model, [source], tmp_path / f"{channels}.npy", axes="TCYX")
        found = np.load(tmp_path / f"{channels}.npy")
        expected = [np.moveaxis(denoise_array(model, np.moveaxis(plane, 0, -1)), -1, 0) for plane in array]
        assert np.array_equal(found, np.stack(expected))


_OME = {"ome": True, "metadata": {"axes": "TCYX", "PhysicalSizeX": 0.5, "Channel": {"Name": ["actin", "nuclei"]}}}


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        ((2, 2, 16, 18), _OME, None),
        ((2, 2, 16, 18), {"imagej": True, "metadata": {"axes": "ZCYX", "spacing": 2.0, "unit": "um"}}, None),
        ((4, 16, 18), {"imagej": True, "metadata": {"axes": "CYX"}}, None),
        ((2, 16, 18), {}, "CYX"),
        ((2, 16, 18, 5), {}, "TYXC"),
    ],
)
def test_named_channels_that_are_none_of_the_models_are_cleaned_each_as_a_grey_plane(
    shape: tuple[int, ...], options: dict[str, Any], axes: str | None, tmp_path: Path
) -> None:
    array, model = make_image(shape), make_model()
    tifffile.imwrite(tmp_path / "in.tif", array, **({"photometric": "minisblack"} | options))
    [result] = denoise_files(model, [tmp_path / "in.tif"], tmp_path / "out.tif", axes=axes)
    with tifffile.TiffFile(tmp_path / "in.tif") as before, tifffile.TiffFile(tmp_path / "out.tif") as after:
        assert after.series[0].axes == (axes or before.series[0].axes)
        assert (after.is_ome, after.is_imagej) == (before.is_ome, before.is_imagej)
        assert after.imagej_metadata == before.imagej_metadata
        for part in ('PhysicalSizeX="0.5"', 'Name="actin"', 'Name="nuclei"') if options is _OME else ():
            assert part in str(after.ome_metadata)
        found = after.series[0].asarray()
    channel_last = axes is not None and axes.endswith("C")
    planes, cleaned = (np.moveaxis(x, -1, 1) if channel_last else x for x in (array, found))
    planes, cleaned = planes.reshape(-1, 16, 18), cleaned.reshape(-1, 16, 18)
    assert result.n_planes == len(planes)
    assert np.array_equal(cleaned, np.stack([denoise_array(model, plane) for plane in planes]))


def test_channels_without_a_name_are_refused_with_the_letters_that_help(tmp_path: Path) -> None:
    model, source = make_model(), save(tmp_path / "in.npy", make_image((16, 18, 2)))
    [result] = denoise_files(model, [source], tmp_path / "out.npy")
    told = "the image has 2 channels; this model takes 3, or 1; to clean each by itself as grey, name them C"
    assert str(result.failure) == f"{source}: {told}, as --axes YXC"
    [result] = denoise_files(model, [source], tmp_path / "out.npy", axes="YXC")
    assert (result.failure, np.load(tmp_path / "out.npy").shape) == (None, (16, 18, 2))


def test_a_model_of_two_channels_cleans_no_grey_planes(tmp_path: Path) -> None:
    source = save(tmp_path / "in.npy", make_image((3, 16, 18)))
    [result] = denoise_files(make_model(channels=2), [source], tmp_path / "out.npy", axes="CYX")
    assert "has 3 channels; this model takes 2; use a model that was trained on such images" in str(result.failure)


def test_a_plane_that_cannot_be_used_leaves_no_file_of_its_stack(tmp_path: Path) -> None:
    stack = make_image((3, 16, 16), "float32")
    stack[2] *= 300
    source = save(tmp_path / "in.tif", stack)
    [result] = denoise_files(make_model(), [source], tmp_path / "out.tif")
    assert "scale it to 0..1" in str(result.failure)
    assert os.listdir(tmp_path) == ["in.tif"]


def test_a_stack_of_one_plane_may_become_a_picture(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", make_image((16, 18)), imagej=True)
    [result] = denoise_files(make_model(), [tmp_path / "in.tif"], tmp_path / "out.png")
    assert result.failure is None
    assert read_image(tmp_path / "out.png").shape == (16, 18, 1)


def test_the_way_up_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(make_image((16, 30, 3))).save(tmp_path / "in.jpg", exif=exif)
    denoise_files(make_model(), [tmp_path / "in.jpg"], tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as found:
        assert (found.size, found.getexif()[274]) == ((30, 16), 6)


def test_an_array_which_cannot_say_how_to_turn_it_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(make_image((16, 30, 3))).save(tmp_path / "in.png", exif=exif)
    denoise_files(make_model(), [tmp_path / "in.png"], tmp_path / "out.npy")
    found = np.load(tmp_path / "out.npy")
    assert found.shape == (30, 16, 3)
    assert np.array_equal(found, denoise_array(make_model(), read_image(tmp_path / "in.png")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_upright_as_an_array_too(orientation: int, tmp_path: Path) -> None:
    image, model = make_image((16, 30, 3)), make_model()
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "in.tif", image, photometric="rgb", extratags=tags)
    denoise_files(model, [tmp_path / "in.tif"], tmp_path / "out.npy")
    with Image.open(tmp_path / "in.tif") as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(np.load(tmp_path / "out.npy"), denoise_array(model, upright))


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp"])
def test_a_picture_of_a_one_plane_stack_keeps_what_belongs_to_it(name: str, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = [(274, "H", 1, 6, True), (271, "s", 0, b"a maker", True)]
    tifffile.imwrite(
        tmp_path / "in.tif",
        make_image((16, 30, 3)),
        ome=True,
        photometric="rgb",
        metadata={"axes": "YXS"},
        iccprofile=profile,
        extratags=tags,
        resolution=(300, 300),
        resolutionunit="inch",
    )
    denoise_files(make_model(), [tmp_path / "in.tif"], tmp_path / name)
    with Image.open(tmp_path / name) as found:
        exif = found.getexif()
        assert (found.size, exif[274], exif[271], found.info["icc_profile"]) == ((30, 16), 6, "a maker", profile)
        assert name == "out.webp" or found.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("is_stack", [False, True])
def test_a_side_that_the_output_cannot_hold_is_told_before_anything_is_computed(is_stack: bool, tmp_path: Path) -> None:
    save(tmp_path / "wide.npy", make_image((1, 16_384)))
    heard: list[float] = []
    options = Work(make_model(), axes="YX" if is_stack else None)
    jobs = plan([tmp_path / "wide.npy"], tmp_path / "out.webp")
    [result] = run_jobs(options, jobs, "cpu", lambda number, share, found: heard.append(share))
    assert "out.webp: .webp cannot hold 1x16384 pixels" in str(result.failure)
    assert heard == [0.0, 1.0]


def test_planar_colours_of_an_ome_file_are_cleaned_and_a_batch_goes_on(tmp_path: Path) -> None:
    planar = np.moveaxis(make_image((2, 16, 18, 3)), -1, 1)
    (tmp_path / "in").mkdir()
    about: dict[str, Any] = {
        "ome": True,
        "photometric": "rgb",
        "planarconfig": "separate",
        "metadata": {"axes": "ZSYX"},
    }
    tifffile.imwrite(tmp_path / "in/a.ome.tif", planar, **about)
    save(tmp_path / "in/b.png", make_image((16, 16, 3)))
    model = make_model()
    assert [result.failure for result in denoise_files(model, [tmp_path / "in"], tmp_path / "out")] == [None, None]
    found = tifffile.imread(tmp_path / "out/a.ome.tif")
    expected = [np.moveaxis(denoise_array(model, np.moveaxis(plane, 0, -1)), -1, 0) for plane in planar]
    assert np.array_equal(found, np.stack(expected))


@pytest.mark.parametrize("shape", [(16, 18), (16, 18, 1), (16, 18, 3)])
def test_an_array_keeps_its_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    denoise_files(make_model(), [save(tmp_path / "in.npy", make_image(shape))], tmp_path / "out.npy")
    assert np.load(tmp_path / "out.npy").shape == shape


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_images_of_one_pixel_a_side_stop_no_others(tmp_path: Path, mode: str) -> None:
    for name, size in (("a", (1, 1)), ("b", (9, 1)), ("c", (1, 9))):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new(mode, size, (1, 2, 3, 100) if mode == "RGBA" else (1, 100)).save(tmp_path / f"in/{name}.png")
    save(tmp_path / "in/d.png", make_image((16, 16, 3)))
    found = denoise_files(make_model(), [tmp_path / "in"], tmp_path / "out")
    assert found[-1].failure is None
    for result, shape in zip(found[:3], ((1, 1), (1, 9), (9, 1)), strict=True):
        assert result.target is not None
        with Image.open(result.target) as image:
            assert image.size[::-1] == shape


def test_memory_that_runs_out_is_one_line_and_stops_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "in/a.png", make_image((16, 16, 3)))
    save(tmp_path / "in/b.png", make_image((24, 24, 3)))
    model = make_model()
    forward = model.network.forward

    def short(x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] == 16:
            # As PyTorch says it of a CPU.
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return forward(x)

    monkeypatch.setattr(model.network, "forward", short)
    first, second = denoise_files(model, [tmp_path / "in"], tmp_path / "out")
    assert re.search(r"a\.png: memory is short for pieces of \d+ pixels; use a smaller --tile$", str(first.failure))
    assert second.failure is None


def test_a_bug_that_one_file_brings_out_is_its_failure_and_stops_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / f"in/{name}.png", make_image((16, 16, 3)))

    def broken(path: Path, *rest: Any) -> None:
        if path.stem == "a":
            raise OverflowError("int too big\nto convert")
        if path.stem == "b":
            raise MemoryError
        write_pixels(path, *rest)

    monkeypatch.setattr("evoae_cli.applying.batch.write_pixels", broken)
    first, second, third = denoise_files(make_model(), [tmp_path / "in"], tmp_path / "out")
    assert isinstance(first.failure, BugError)
    assert re.search(r"a\.png: this is a bug in evoae \(OverflowError: int too big\); ", str(first.failure))
    assert "\n" not in str(first.failure)
    assert "in broken" in first.failure.trace
    assert re.search(r"b\.png: memory is short for it$", str(second.failure))
    assert third.failure is None


def test_the_noise_of_an_image_three_pixels_wide_is_read_without_a_word(tmp_path: Path) -> None:
    [result] = denoise_files(make_model(), [save(tmp_path / "in.png", make_image((16, 3, 3)))], tmp_path / "out.png")
    assert result.failure is None


def test_transparency_that_the_output_has_no_room_for_is_said(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", make_image((16, 16, 4)))
    kept, lost = (denoise_files(make_model(), [source], tmp_path / name)[0] for name in ("a.png", "b.jpg"))
    assert kept.warning == ""
    assert "transparency" in lost.warning
    with Image.open(tmp_path / "a.png") as found:
        assert np.array_equal(np.asarray(found)[..., 3], make_image((16, 16, 4))[..., 3])


def test_noise_is_read_only_where_the_model_is_known_to_be_trained_for_it(tmp_path: Path) -> None:
    noisy = np.clip(np.rint(120 + np.random.default_rng(0).normal(0, 25, (64, 64, 3))), 0, 255).astype(np.uint8)
    source = save(tmp_path / "in.png", noisy)

    def result(**about: Any) -> FileResult:
        return denoise_files(make_model(**about), [source], tmp_path / "out.png", is_forced=True)[0]

    fine, other, unknown = result(noise="gaussian:25"), result(noise_std_8bit=50.0), result(noise="noisy-only")
    assert fine.noise_std_8bit == pytest.approx(25, rel=0.05)
    assert (fine.noise_kind, fine.noise_strength, fine.noise_warning) == ("gaussian", fine.noise_std_8bit, "")
    assert "trained for 50" in other.noise_warning
    assert str(source) in other.noise_warning
    assert (unknown.noise_kind, unknown.noise_strength, unknown.noise_warning) == (None, None, "")


def test_a_model_of_poisson_noise_warns_of_images_with_other_counts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sources = [
        save(
            tmp_path / f"{counts}.png",
            (rng.poisson(0.5 * counts, (64, 64, 3)) / counts * 255).clip(0, 255).astype("u1"),
        )
        for counts in (120, 30, 7)
    ]
    less, fine, more = denoise_files(make_model(noise="poisson:30"), sources, tmp_path / "out/")
    assert less.noise_warning.startswith(f"{sources[0]}: its noise reads as poisson:1")
    assert less.noise_warning.endswith(
        "; this model was trained for poisson:30. With less noise than that the result may be blurred"
    )
    assert more.noise_warning.startswith(f"{sources[2]}: its noise reads as poisson:")
    assert more.noise_warning.endswith("With more noise than that the result may be noisy")
    assert (fine.noise_kind, fine.noise_warning, fine.noise_std_8bit) == ("poisson", "", None)
    assert fine.noise_strength == pytest.approx(30, rel=0.15)


def test_of_a_stack_the_median_of_its_planes_is_what_its_noise_reads_as(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    planes = [np.where(rng.random((64, 64)) < share, 255, 128).astype(np.uint8) for share in (0.1, 0.1, 0.1, 0.1, 0.8)]
    source = save(tmp_path / "in.tif", np.stack(planes))
    [result] = denoise_files(make_model(channels=1, noise="salt-pepper:0.1"), [source], tmp_path / "out.tif")
    assert (result.n_planes, result.noise_warning) == (5, "")
    assert result.noise_strength == pytest.approx(0.1, rel=0.1)


def test_added_noise_gives_the_same_figures_with_and_without_an_output(tmp_path: Path) -> None:
    source, noise = save(tmp_path / "in.tif", make_image((40, 40), "uint16")), parse_added_noise("gaussian:25", 3)
    model = make_model(noise_std_8bit=25.0)
    [first] = denoise_files(model, [source], None, noise=noise)
    [again] = denoise_files(model, [source], tmp_path / "out.tif", noise=noise)
    assert first.figures == again.figures
    assert first.figures is not None
    assert first.figures.noisy_psnr_db == pytest.approx(20.6, abs=0.4)
    assert (first.target, again.target) == (None, tmp_path / "out.tif")
    found, without = read_image(tmp_path / "out.tif"), denoise_array(model, make_image((40, 40), "uint16"))
    assert (found.shape, found.dtype) == ((40, 40, 1), np.uint16)
    assert not np.array_equal(found[:, :, 0], without)


@pytest.mark.parametrize("limits", [{}, {"low": [0.0, 20.0, 10.0], "high": [200.0, 250.0, 240.0]}])
def test_a_grey_image_gets_one_noise_and_goes_through_a_colour_model_as_three_equal_channels(
    limits: dict[str, Any], tmp_path: Path
) -> None:
    model, grey = make_model(dtype="float32"), make_image((40, 40, 1), "float32") * 255
    model.metadata["pixels"].update(limits)
    noise = parse_added_noise("gaussian:25", 0)
    [result] = denoise_files(model, [save(tmp_path / "in.npy", grey)], tmp_path / "out.npy", noise=noise)
    low, high = (float(np.mean(model.metadata["pixels"][key])) for key in ("low", "high"))
    clean = ((grey - low) / (high - low) * 2 - 1).astype(np.float32)
    noisy = noise.added(clean, "in.npy")
    expected = denoise_array(model, (noisy + 1) / 2 * (high - low) + low)
    assert np.abs(np.load(tmp_path / "out.npy") - expected).max() < 0.01
    found = result.figures
    assert found is not None
    by_hand = figures(clean, noisy, ((expected - low) / (high - low) * 2 - 1).astype(np.float32))
    assert (found.noisy_psnr_db, found.psnr_db) == pytest.approx((by_hand.noisy_psnr_db, by_hand.psnr_db), abs=1e-3)


def test_a_stack_with_added_noise_has_the_mean_figures_of_its_planes(tmp_path: Path) -> None:
    source = save(tmp_path / "in.tif", make_image((3, 24, 24)))
    [result] = denoise_files(make_model(channels=1), [source], None, noise=parse_added_noise("gaussian:25", 0))
    assert result.figures is not None
    assert result.figures.noisy_psnr_db == pytest.approx(20.6, abs=0.6)


def test_progress_goes_up_to_one_for_each_job_and_ends_with_its_result(tmp_path: Path) -> None:
    save(tmp_path / "in/a.tif", make_image((3, 16, 16)))
    save(tmp_path / "in/b.png", make_image((16, 16)))
    heard: list[tuple[int, float, FileResult | None]] = []
    jobs = plan([tmp_path / "in"], tmp_path / "out")
    results = list(run_jobs(Work(make_model()), jobs, "cpu", lambda *told: heard.append(told)))
    assert [told[2] for told in heard if told[2]] == results
    for number in (0, 1):
        shares = [share for at, share, _ in heard if at == number]
        # It is known which file it is before anything of it is done.
        assert shares[0] == 0
        assert shares == sorted(shares)
        assert shares[-1] == 1


def test_threads_and_network_are_as_before_afterwards(tmp_path: Path) -> None:
    model, before = make_model(), torch.get_num_threads()
    denoise_files(model, [save(tmp_path / "in.png", make_image((16, 16)))], tmp_path / "out.png")
    assert torch.get_num_threads() == before
    assert next(model.network.parameters()).device.type == "cpu"


def test_another_model_and_a_missing_device_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", make_image((16, 16)))
    with pytest.raises(StudyError, match="holds a manifold model"):
        denoise_files(make_model(objective="manifold"), [source], tmp_path / "out.png")
    with pytest.raises(UsageError, match="cuda:999"):
        denoise_files(make_model(), [source], tmp_path / "out.png", device="cuda:999")
    assert os.listdir(tmp_path) == ["in.png"]
