"""One host as a process of its own: a search, or one that helps; its workers wait in place of training.

python host_process.py '{"role": "search", ...}'
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.bench.scaled import RUNNER
from evoae_cli.engine.linked import Helping, among
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.evaluation.imagefile import SUFFIX, fingerprint_of
from evoae_cli.hosts.address import Address, parse_address
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.host import Host
from evoae_cli.hosts.key import read_key
from evoae_cli.study.resolve import resolve
from evoae_cli.study.study import Study, StudyEvent, StudyResult
from evoae_cli.worker.freight import EvaluationFreight


class Role(msgspec.Struct, kw_only=True):
    """What the process is to do."""

    role: str
    key: str
    name: str
    listen: str | None = None
    link: str | None = None
    nameserver: str | None = None
    silence_s: float = 2.0
    workers: int = 2
    folder: str = ""
    """Of the study, or the cache of a host that helps."""
    settings: dict[str, Any] = {}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run_candidates(study: Study) -> StudyResult:
    """Search until the candidates are evaluated: what waits in place of training makes no weights to deliver."""

    def hear(event: StudyEvent) -> None:
        say(event.line)
        if event.kind == "finalist":
            study.request_stop()

    return study.run(hear)


def address(text: str | None) -> Address | None:
    return None if text is None else parse_address("address", text, least_port=0)


def main(role: Role) -> None:
    host = Host(
        key=read_key(Path(role.key)),
        name=role.name,
        listen=address(role.listen),
        links=[found for found in [address(role.link)] if found is not None],
        nameserver=address(role.nameserver),
        silence_s=role.silence_s,
    )
    if role.role == "search":
        config = resolve("denoise", {**role.settings, "device": "cpu", "workers": role.workers})
        study = Study.create(config, Path(role.folder), warn=say, runner=RUNNER, make_engine=among(host))
        say(f"listening at {host.address}")
        result = run_candidates(study)
        say(f"ended as {result.state}")
        if host.unfinished:
            say(f"going on for {host.unfinished}")
            help_others(
                Host(key=read_key(Path(role.key)), name=role.name, links=host.unfinished, gone_after_s=5.0), role
            )
        return
    help_others(host, role)


def help_others(host: Host, role: Role) -> None:
    engine = LocalEngine([WorkerSpec(device="cpu", threads=1)] * role.workers, RUNNER)
    depot = Depot(Path(role.folder) / "cache", SUFFIX, fingerprint_of)
    with Helping(engine, host, EvaluationFreight(), depot) as helping:
        while role.nameserver is not None or helping.is_needed:
            helping.wait()
            for line in helping.take_news():
                say(line)
    say(f"{helping.n_done} done here")


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Role))
