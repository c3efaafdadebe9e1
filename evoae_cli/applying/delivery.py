"""What a study of noisy images leaves in its `output`: all of them, cleaned by the best model."""

from pathlib import Path

from evoae_cli.applying.inputs import Job, plan
from evoae_cli.errors import UsageError
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.locate import plain_path
from evoae_cli.study.resolve import EARLIER, resolve
from evoae_cli.study.summary import summary


def delivery(config: StudyConfig, *, is_forced: bool = False, is_resumed: bool = False) -> list[Job]:
    """One job for each image of `data`; none where the settings name no `output`.

    What is there already stays as it is where a study is resumed, unless `is_forced`: so it goes on where it ended.

    Raises what `plan` raises, among it UsageError where a new study would overwrite what exists, and UsageError where
    the results would lie among the study's own images.
    """
    if config.output is None:
        return []
    assert config.data is not None
    data, out = plain_path(config.data), plain_path(config.output)
    if data.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(f"-o {config.output} lies in --data {config.data}, among the images; name another folder")
    jobs = plan([data], out, is_forced=is_forced or is_resumed, is_folder=True)
    return [job for job in jobs if is_forced or job.target is None or not job.target.exists()]


def check_new_output(folder: Path, output: str | Path) -> None:
    """Raise UsageError unless the study in `folder` can have its images cleaned into `output`: before it goes on."""
    settings = summary(folder)["settings"]
    delivery(resolve(settings["objective"], EARLIER, settings, {"output": output}), is_resumed=True)
