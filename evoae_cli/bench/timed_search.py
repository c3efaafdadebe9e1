"""A search of which is known what each of its workers evaluated, and when."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.bench import scaled
from evoae_cli.bench.scaled import Orders, Span, wait_s
from evoae_cli.engine.local import local_engine
from evoae_cli.engine.terms import MakeEngine
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.store import Store
from evoae_cli.study.study import Study, StudyEvent


def timed_search(
    config: StudyConfig,
    orders: Callable[[str], Orders],
    folder: Path,
    warn: Callable[[str], None],
    make_engine: MakeEngine = local_engine,
) -> tuple[list[list[Span]], dict[str, int]]:
    """Search below `folder` until the candidates are evaluated; the runner does not train finalists.

    `orders` makes what the workers are to do from a folder for their notes. Returns what each worker evaluated, in
    order, and the generation of each genotype. Raises EvoaeError where the search fails.
    """
    notes = folder / "notes"
    notes.mkdir()
    told = orders(str(notes))
    os.environ[scaled.ORDERS] = msgspec.json.encode(told).decode()
    expected: Any = None if told.wait_s is None else partial(wait_s, orders=told)

    def stop_at_the_first_finalist(event: StudyEvent) -> None:
        if event.kind == "finalist":
            study.request_stop()

    try:
        place = folder / "study"
        study = Study.create(config, place, warn=warn, runner=scaled.RUNNER, expected=expected, make_engine=make_engine)
        study.run(stop_at_the_first_finalist)
    finally:
        del os.environ[scaled.ORDERS]
    store = Store.read(folder / "study")
    generation_of = {record.evaluation.genotype: record.generation for record in store.records("search")}
    store.close()
    return scaled.read_spans(notes), generation_of
