"""A host that helps, as a process of its own: its workers wait or do nothing, and are not in each other's way."""

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from evoae_cli.engine.linked import Helping
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.hosts.address import Address
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.freight import Parcel
from evoae_cli.hosts.host import Host

NOOP = "evoae_cli.bench.noop:start"


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What it is told at its start."""

    name: str
    key: str
    port: int
    workers: int
    silence_s: float


class BareFreight:
    """For payloads that name nothing of any host."""

    def pack(self, payload: bytes) -> Parcel:
        """As it is."""
        return Parcel(payload=payload, inputs={}, output=None)

    def unpack(self, payload: bytes, inputs: Mapping[str, Path], output: Path) -> bytes:
        """As it is."""
        return payload

    def pack_result(self, payload: bytes) -> tuple[bytes, bool]:
        """As it is, without a file."""
        return payload, False

    def unpack_result(self, payload: bytes, sent: Parcel) -> bytes:
        """As it is."""
        return payload


def main() -> None:
    """Help until the lender has ended; what people should know goes to standard output."""
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    engine = LocalEngine([WorkerSpec(device="cpu", threads=1)] * orders.workers, NOOP)
    host = Host(
        key=orders.key.encode(),
        name=orders.name,
        links=[Address("127.0.0.1", orders.port)],
        silence_s=orders.silence_s,
    )
    depot = Depot(Path(), "", str)
    with Helping(engine, host, BareFreight(), depot) as helping:
        while helping.is_needed:
            helping.wait()
            for line in helping.take_news():
                print(line, flush=True)


if __name__ == "__main__":
    main()
