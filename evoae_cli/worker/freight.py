"""Evaluations on their way to another host: what of a request belongs to this host alone is taken off, and put back."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from evoae_cli.evaluation.contract import Evaluation, EvaluationRequest, Request
from evoae_cli.evaluation.imagefile import SUFFIX, cache_folder, fingerprint_of
from evoae_cli.hosts.depot import KeptFiles
from evoae_cli.hosts.freight import Parcel

_requests = msgspec.msgpack.Decoder(EvaluationRequest)
_evaluations = msgspec.msgpack.Decoder(Evaluation)
_encode = msgspec.msgpack.Encoder().encode
_HERE = ""
"""Stands for a path of whichever host has it."""

Read = TypeVar("Read")


def may_travel(request: Request) -> bool:
    """Whether another host may run it: a training from scratch, which needs images and makes weights.

    What scores weights, or measures without a network, is quickly done here.
    """
    return (
        isinstance(request, EvaluationRequest) and request.stage in ("search", "final") and request.weights_in is None
    )


class EvaluationFreight:
    """Packs evaluations; see `hosts.freight.Freight`.

    `spaces` are the search spaces of their own that this host's user has named: no other one is loaded because a peer
    says so.
    """

    def __init__(self, spaces: Collection[str] = ()) -> None:
        self._spaces = frozenset(spaces)

    def pack(self, payload: bytes) -> Parcel:
        """A request without paths."""
        request = _read(_requests, payload)
        images = request.images
        bare = msgspec.structs.replace(
            request,
            images=msgspec.structs.replace(images, path=_HERE),
            weights_out=None if request.weights_out is None else _HERE,
        )
        return Parcel(
            payload=_encode(bare),
            inputs={images.fingerprint: Path(images.path)},
            output=None if request.weights_out is None else Path(request.weights_out),
        )

    def unpack(self, payload: bytes, inputs: Mapping[str, Path], output: Path) -> bytes:
        """A request with paths of this host. Raises ValueError too for a search space that was not named here."""
        request = _read(_requests, payload)
        space = request.network.space
        if space is not None and space not in self._spaces:
            raise ValueError(f"it needs the search space {space}; have the file here, and add --space {space}")
        path = inputs.get(request.images.fingerprint)
        if path is None or not may_travel(request):
            raise ValueError("an evaluation that may not travel")
        return _encode(
            msgspec.structs.replace(
                request,
                images=msgspec.structs.replace(request.images, path=str(path)),
                weights_out=None if request.weights_out is None else str(output),
            )
        )

    def pack_result(self, payload: bytes) -> tuple[bytes, bool]:
        """An evaluation without paths, and whether there are weights."""
        found = _read(_evaluations, payload)
        if found.weights is None:
            return payload, False
        return _encode(msgspec.structs.replace(found, weights=_HERE)), True

    def unpack_result(self, payload: bytes, sent: Parcel) -> bytes:
        """An evaluation with paths of this host. Raises ValueError too for one of another request."""
        found, request = _read(_evaluations, payload), _read(_requests, sent.payload)
        if (found.genotype, found.stage, found.seed_index) != (request.genotype, request.stage, request.seed_index):
            raise ValueError("an evaluation of something else")
        if found.weights is None:
            return payload
        if sent.output is None or not sent.output.is_file():
            raise ValueError("an evaluation whose weights have not come")
        return _encode(msgspec.structs.replace(found, weights=str(sent.output)))


def kept_images() -> KeptFiles:
    """The images that this host has, by their fingerprints."""
    return KeptFiles(cache_folder(), SUFFIX, fingerprint_of)


def _read(decoder: "msgspec.msgpack.Decoder[Read]", payload: bytes) -> Read:
    try:
        return decoder.decode(payload)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
