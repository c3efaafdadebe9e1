"""What a denoiser makes of photographs that may be shown, as a JPEG: clean, noisy, output.

Prints the PSNR of the noisy images and of the outputs, both means over the photographs.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from evoae_cli.bench.report import one_line_errors
from evoae_cli.bench.showable import sheet, shown_crops, shown_noisy
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.metrics import scores
from evoae_cli.evaluation.noise import describe_noise, parse_noise
from evoae_cli.study.model import load_model
from evoae_cli.wholefile import write_whole


def draw(model: str, out: Path) -> str:
    """Write the picture to `out`, over what is there; the line that is printed.

    Raises UsageError for a model that is no denoiser of colour images with a kind of noise that can be added, and for
    an `out` that cannot be written; StudyError where there is no model.
    """
    loaded = load_model(model)
    noise = loaded.metadata.get("noise")
    if not noise or loaded.network.spec.channels != 3:
        raise UsageError(f"{model} is no denoiser of colour images whose noise can be added; give another model")
    clean = shown_crops()
    noisy = shown_noisy(clean, parse_noise(noise))
    with torch.inference_mode():
        output = loaded.network(noisy)
    try:
        write_whole(out, sheet([("clean", clean), ("noisy", noisy), ("output", output)]))
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written: {error.strerror}; name another place") from error
    before, after = (scores(images, clean).psnr_db for images in (noisy, output))
    return f"{describe_noise(parse_noise(noise))}: noisy {before:.1f} dB, output {after:.1f} dB"


def main(argv: Sequence[str] | None = None) -> None:
    """Draw a picture from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="name or folder of a study, or of a model")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jpg")
    given = parser.parse_args(argv)
    with one_line_errors():
        print(draw(given.model, given.out))


if __name__ == "__main__":
    main()
