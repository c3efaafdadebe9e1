"""Many files through one model: each is read, checked, cleaned and written; what cannot be done is said, not raised."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evoae_cli.applying.apply import TILE, as_dtype, check_channels, cleaned, scale_for, takes_channels
from evoae_cli.applying.carried import TIFF, carried_by, turned
from evoae_cli.applying.inputs import Job
from evoae_cli.applying.noisecheck import Trained, fits, trained_noise, verdict
from evoae_cli.applying.noisereading import Reading, read_noise
from evoae_cli.applying.pixels import check_holds, holds_alpha, write_pixels
from evoae_cli.applying.stackfile import writing_stack
from evoae_cli.applying.stacks import Place, Stack, open_stack
from evoae_cli.applying.tryout import AddedNoise, Figures, figures, mean
from evoae_cli.errors import BugError, EvoaeError, StudyError, first_line
from evoae_cli.evaluation.memory import is_memory_error
from evoae_cli.evaluation.noise import NoiseKind
from evoae_cli.evaluation.readers import read_image

if TYPE_CHECKING:
    from evoae_cli.study.model import LoadedModel

Pixels = npt.NDArray[Any]

_MOST_READ = 5
"""Planes of a stack whose noise is read."""


@dataclass(frozen=True)
class FileResult:
    """What became of one file."""

    source: Path
    target: Path | None
    """What was written; None if nothing was."""
    failure: EvoaeError | None = None
    """Why nothing came of it, in one line."""
    n_planes: int = 1
    noise_kind: NoiseKind | None = None
    """The kind that the model was trained for, if noise of it was read."""
    noise_strength: float | None = None
    """The noise that was read, as a setting gives it for this kind (`Noise`)."""
    noise_warning: str = ""
    """One line, if that is not what the model was trained for."""
    warning: str = ""
    """One line on what else is not as one would expect."""
    figures: Figures | None = None
    """Where noise was added: the mean over the planes."""

    @property
    def noise_std_8bit(self) -> float | None:
        """The standard deviation of the noise that was read on the 0..255 scale; None for all but Gaussian noise."""
        return self.noise_strength if self.noise_kind == "gaussian" else None


@dataclass(frozen=True)
class Work:
    """How files are denoised."""

    model: "LoadedModel"
    tile: int = TILE
    axes: str | None = None
    noise: AddedNoise | None = None
    views: int = 1
    """How many turned and mirrored views are averaged (`views.VIEWS`)."""

    @property
    def trained(self) -> Trained | None:
        """The noise that the model was trained for, if that is known."""
        return trained_noise(self.model.metadata)


Listener = Callable[[int, float, FileResult | None], None]
"""Called with a job's number, the share of it that is done, and at its end what became of it."""


def run_jobs(
    work: Work, jobs: Sequence[Job], device: str = "auto", listen: Listener = lambda number, share, result: None
) -> Iterator[FileResult]:
    """Do one job after the other on a device, the CPU with all cores that this process may use.

    Raises StudyError for a model that is no denoiser, UsageError for a device that is not there.
    """
    if (found := work.model.metadata["objective"]) != "denoise":
        raise StudyError(f"{work.model.folder} holds a {found} model; find a denoiser: evoae search denoise")
    with _computing_on(device, work.model):
        for number, job in enumerate(jobs):

            def tell(share: float, number: int = number) -> None:
                listen(number, share, None)

            tell(0.0)
            try:
                result = _run(work, job, tell)
            except Exception as error:  # A fault of evoae in one file must not end the others' work.
                result = FileResult(job.source, None, failure=_failure(job, error))
            listen(number, 1.0, result)
            yield result


def _failure(job: Job, error: Exception) -> EvoaeError:
    """What `error` says of a job, in one line that names its file, and without what its traceback holds in memory."""
    if isinstance(error, EvoaeError):
        is_named = any(str(path) in str(error) for path in (job.source, job.target) if path is not None)
        return error if is_named else type(error)(f"{job.source}: {error}")
    if is_memory_error(error):
        return EvoaeError(f"{job.source}: memory is short for it")
    return BugError(
        f"{job.source}: this is a bug in evoae ({type(error).__name__}: {first_line(error)}); "
        "evoae denoise --debug prints the details",
        "".join(traceback.format_exception(error)),
    )


@contextmanager
def _computing_on(device: str, model: "LoadedModel") -> Iterator[None]:
    import torch

    from evoae_cli.evaluation.hardware import devices, n_cores

    chosen = devices(device)[0]
    threads = torch.get_num_threads()
    torch.set_num_threads(n_cores())
    model.network.to(memory_format=torch.channels_last).to(chosen)
    try:
        yield
    finally:
        model.network.to("cpu")
        torch.set_num_threads(threads)


def _run(work: Work, job: Job, tell: Callable[[float], None]) -> FileResult:
    with open_stack(job.source, work.axes) as stack:
        return _run_picture(work, job, tell) if stack is None else _run_stack(work, job, stack, tell)


def _run_picture(work: Work, job: Job, tell: Callable[[float], None]) -> FileResult:
    # An array cannot say how to turn it.
    is_upright = job.target is not None and job.target.suffix.lower() == ".npy"
    pixels = read_image(job.source, is_upright=is_upright)
    check_channels(work.model, pixels.shape[2])
    if job.target is None:
        _, reading, found = _clean_plane(work, pixels, job.name, (), tell)
        return _judged(work, FileResult(job.source, None, figures=found), [reading])
    height, width, n_channels = pixels.shape
    check_holds(job.target, (height, width, n_channels), pixels.dtype)
    carried = carried_by(job.source, pixels)
    if is_upright and job.source.suffix.lower() in TIFF:
        # Which the reader leaves as they are stored.
        pixels = turned(pixels, carried)
    output, reading, found = _clean_plane(work, pixels, job.name, (), tell)
    write_pixels(job.target, output, carried)
    has_lost_alpha = carried.has_lost_alpha or (carried.alpha is not None and not holds_alpha(job.target, pixels))
    lost = f"{job.source} has transparency (an alpha channel), which is left out of {job.target}"
    result = FileResult(job.source, job.target, warning=lost if has_lost_alpha else "", figures=found)
    return _judged(work, result, [reading])


def _run_stack(work: Work, job: Job, stack: Stack, tell: Callable[[float], None]) -> FileResult:
    if not takes_channels(work.model, stack.n_channels) and takes_channels(work.model, 1):
        # Channels that are no colours, as the dyes of a microscope.
        stack = stack.by_channel()
    check_channels(work.model, stack.n_channels)
    places = stack.places()
    is_read = set(np.linspace(0, len(places) - 1, _MOST_READ).astype(int).tolist())
    readings: list[Reading | None] = []
    found: list[Figures] = []
    target = job.target
    is_flat = target is not None and len(places) == 1 and target.suffix.lower() in _FLAT_ONLY
    output: AbstractContextManager[Callable[[Place, Pixels], None]] = nullcontext(lambda place, plane: None)
    if target is not None and is_flat:
        check_holds(target, stack.plane_shape, stack.dtype)
        output = _writing_flat(target, stack)
    elif target is not None:
        output = writing_stack(target, stack)
    with output as put:
        for number, place in enumerate(places):

            def tell_plane(share: float, number: int = number) -> None:
                tell((number + share) / len(places))

            plane = stack.read(place)
            result, reading, scored = _clean_plane(work, plane, job.name, place, tell_plane, is_read=number in is_read)
            put(place, result)
            readings.append(reading)
            found += [scored] if scored is not None else []
    about = FileResult(job.source, target, n_planes=len(places), figures=mean(found) if found else None)
    return _judged(work, about, readings)


_FLAT_ONLY = (".png", ".jpg", ".jpeg", ".webp")


@contextmanager
def _writing_flat(target: Path, stack: Stack) -> Iterator[Callable[[Place, Pixels], None]]:
    """For a stack of one plane that becomes a picture."""
    yield lambda place, plane: write_pixels(target, plane, stack.description.carried)


def _clean_plane(
    work: Work, pixels: Pixels, name: str, place: Place, tell: Callable[[float], None], *, is_read: bool = True
) -> tuple[Pixels, Reading | None, Figures | None]:
    """One image [H, W, C] -> it cleaned, its noise where that matters, and figures where noise was added."""
    scale = scale_for(work.model.metadata, pixels)
    kind = work.trained.kind if is_read and work.trained is not None else None
    if work.noise is None:
        reading = None if kind is None else read_noise(pixels, scale.to_signal, kind)
        return cleaned(work.model, pixels, scale, work.tile, tell, views=work.views), reading, None
    # Noise is drawn for the channels that the image has: grey goes through a colour model as three equal channels.
    own = scale.for_channels(pixels.shape[2])
    clean = own.to_signal(pixels)
    noisy = work.noise.added(clean, name, *place)
    # It is not clipped, and not rounded to the image's depth, as in training.
    values = own.to_values(noisy)
    output = cleaned(work.model, values, scale, work.tile, tell, views=work.views)
    reading = None if kind is None else read_noise(values, scale.to_signal, kind)
    return as_dtype(output, pixels.dtype), reading, figures(clean, noisy, own.to_signal(output))


def _judged(work: Work, result: FileResult, readings: Sequence[Reading | None]) -> FileResult:
    """With what is to be said of its noise: the median of what was read."""
    trained, known = work.trained, [one for one in readings if one is not None and not np.isnan(one.strength)]
    if trained is None or not known:
        return result
    reading = Reading(float(np.median([one.strength for one in known])), all(one.is_clipped for one in known))
    warning = "" if fits(reading, trained) else f"{result.source}: {verdict(reading, trained)}"
    return replace(result, noise_kind=trained.kind, noise_strength=reading.strength, noise_warning=warning)
