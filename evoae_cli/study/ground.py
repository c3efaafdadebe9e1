"""Making the folder of a new study, and taking up that of one which has begun: all that comes before it runs."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.errors import EvoaeError, StudyError
from evoae_cli.evaluation.contract import NetworkSpec
from evoae_cli.evaluation.imagefile import ImageFile
from evoae_cli.genome.spaces import SPACES
from evoae_cli.strategy.search import Search
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.locate import DATABASE, SETTINGS, START, is_study
from evoae_cli.study.lock import LOCK, StudyLock
from evoae_cli.study.resolve import EARLIER, resolve
from evoae_cli.study.settings import CHANGEABLE
from evoae_cli.study.settingsfile import write_settings
from evoae_cli.study.setup import Setup, new_search, prepare, search_space
from evoae_cli.study.store import Store
from evoae_cli.study.warmstart import StartWeights, read_start_weights, stored_start
from evoae_cli.wholefile import PART, write_whole


@dataclass(frozen=True)
class Ground:
    """What a study stands on: it is ready to run, and this process alone may write to it."""

    setup: Setup
    search: Search
    """At its beginning."""
    store: Store
    lock: StudyLock
    is_new: bool

    def leave(self, folder: Path) -> None:
        """Give it up before anything has run there: a new study is gone, an old one free for others."""
        self.store.close()
        if self.is_new:
            _remove_unfinished(folder)
        self.lock.abandon()


def new_ground(config: StudyConfig, folder: Path, warn: Callable[[str], None]) -> Ground:
    """Make a new study in `folder`. Nothing is written there before settings and images have been found good.

    Raises UsageError, ImageError or StudyError in one line.
    """
    setup = prepare(config, warn)
    search = new_search(setup.requests(folder))
    start = _start_weights(setup, setup.requests(folder).network, warn)
    if start is not None:
        setup = msgspec.structs.replace(setup, start=start.fingerprint)
    lock = _locked(folder, is_new=True)
    try:
        # The images may have taken minutes, in which others could use the folder.
        if others := sorted(path.name for path in folder.iterdir() if path.name != LOCK):
            raise StudyError(f"{folder} now holds {others[0]}, which is not ours; choose another --study")
        try:
            write_settings(folder, setup.config, setup.images)
            (folder / "weights").mkdir()
            if start is not None:
                write_whole(folder / START, start.content)
            store = Store.create(folder)
            store.put_meta(
                settings=msgspec.to_builtins(setup.config),
                fingerprint=setup.images.fingerprint,
                space=search_space(setup.config, None).described(),
                state="running",
                active_s=0.0,
                **({} if start is None else {"start": start.fingerprint}),
            )
        except BaseException:
            _remove_unfinished(folder)
            raise
    except OSError as error:
        lock.abandon()
        raise EvoaeError(f"cannot write to {folder}: {error.strerror}; make room or choose another --study") from error
    except BaseException:
        lock.abandon()
        raise
    return Ground(setup, search, store, lock, is_new=True)


def old_ground(folder: Path, warn: Callable[[str], None], is_retrying: bool, changes: Mapping[str, Any]) -> Ground:
    """Take up a study with some settings changed, and with its failed evaluations forgotten where `is_retrying`.

    Raises StudyError if there is none, another process has it, or its images are no longer the same.
    """
    if fixed := sorted(set(changes) - set(CHANGEABLE)):
        raise StudyError(f"{fixed[0]} cannot change in a study that has begun; only {', '.join(CHANGEABLE)} can")
    if not is_study(folder):
        raise StudyError(f"{folder} is no study; list studies: evoae list")
    lock = _locked(folder, is_new=False)
    store: Store | None = None
    try:
        store = Store.open(folder)
        settings = store.meta("settings")
        if settings is None:
            raise StudyError(f"study {folder} was never started; delete it and search again")
        config = resolve(settings["objective"], EARLIER, settings, changes)
        if config.generations < settings["generations"]:
            raise StudyError(
                f"--generations {config.generations}: the study has {settings['generations']} already; name more"
            )
        _check_space(config, store.meta("space"))
        if config.is_training and changes.get("generations") is not None:
            raise StudyError(
                f"--generations {config.generations}: this study trains one architecture; to train it further: "
                f"evoae train --from {folder} --epochs N"
            )
        setup = prepare(config, warn)
        if config.from_model is not None:
            setup = msgspec.structs.replace(setup, start=stored_start(folder, store.meta("start")))
        search = new_search(setup.requests(folder))
        check_images(setup.images, store)
        (folder / "weights").mkdir(exist_ok=True)
        store.put_event("resumed", f"from state {store.meta('state')}")
        if is_retrying:
            n_failed = store.forget_failures(is_generational=config.mode == "generational")
            if n_failed:
                store.put_event("resumed", f"{n_failed} failed evaluations are tried again")
            else:
                warn("nothing has crashed, timed out or run out of memory, so nothing is tried again")
        if msgspec.to_builtins(config) != settings:
            store.put_meta(settings=msgspec.to_builtins(config))
        if msgspec.to_builtins(config) != settings or not (folder / SETTINGS).is_file():
            write_settings(folder, config, setup.images)
    except BaseException:
        if store is not None:
            store.close()
        lock.abandon()
        raise
    return Ground(setup, search, store, lock, is_new=False)


def check_images(images: ImageFile, store: Store) -> None:
    """Raise StudyError where these are not the images that the study in `store` was made with."""
    if images.fingerprint != store.meta("fingerprint"):
        raise StudyError(
            f"images of {images.source} have changed: the study was made with {store.meta('fingerprint')[:12]}, "
            f"these are {images.fingerprint[:12]}; bring back the old ones or start a new study"
        )


def _check_space(config: StudyConfig, before: dict[str, list[Any]] | None) -> None:
    """Raise StudyError where the search space is not what it was; None: of a study that does not say.

    The training of one architecture draws nothing from a space.
    """
    if before is None or config.is_training:
        return
    now = search_space(config, None).described()
    for name, values in before.items():
        if values != now[name]:
            gone = [f"without {value}" for value in values if value not in now[name]]
            come = [f"with {value}" for value in now[name] if value not in values]
            is_own = config.space not in SPACES
            remedy = "bring back the old one" if is_own else "go on with the version of evoae that began it"
            raise StudyError(
                f"--space {config.space} has changed since the study began: {name.replace('_', ' ')} "
                f"{', '.join([*gone, *come]) or 'in another order'}; {remedy} or start a new study"
            )


def _start_weights(setup: Setup, network: NetworkSpec, warn: Callable[[str], None]) -> StartWeights | None:
    """The weights that the training of `setup` starts from; None where it is from scratch, or a search."""
    config = setup.config
    if config.from_model is None:
        return None
    assert config.genotype is not None
    start = read_start_weights(Path(config.from_model), config.genotype, network, setup.images)
    if start.images != setup.images.fingerprint:
        warn(
            "these are other images than the start was trained on, or split otherwise; where it has seen some of them, "
            "figures on test and validation flatter the model"
        )
    return start


def _locked(folder: Path, *, is_new: bool) -> StudyLock:
    """The lock of a study's folder, which is made if the study is new. Raises StudyError if that cannot be."""
    was_there = folder.is_dir()
    try:
        if is_new:
            folder.mkdir(parents=True, exist_ok=True)
        return StudyLock(folder)
    except OSError as error:
        remedy = "choose another --study" if is_new else "make it writable, or resume a copy"
        raise StudyError(f"cannot write to {folder}: {error.strerror}; {remedy}") from None
    except StudyError:
        with contextlib.suppress(OSError):  # another's, who has put something there
            if not was_there:
                folder.rmdir()
        raise


def _remove_unfinished(folder: Path) -> None:
    """Remove what `create` makes in a folder that was empty, and the folder. The lock is held, and goes last."""
    for path in (*folder.glob(f"{DATABASE}*"), *folder.glob(f".*{PART}"), folder / SETTINGS, folder / START):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not ours alone any more, or gone
        if (folder / "weights").is_dir():
            (folder / "weights").rmdir()
        if [path.name for path in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
            folder.rmdir()
