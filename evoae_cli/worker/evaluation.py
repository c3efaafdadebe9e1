"""Between the broker's bytes and the science: decode a request, run it, encode what it found."""

import errno

import msgspec

from evoae_cli.evaluation.contract import EvaluationRequest, Progress, Request, RivalRequest
from evoae_cli.outcome import Outcome
from evoae_cli.worker.runner import Run

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""A write that fails, unlike an opening, does not say of which file."""


def start(device: str, threads: int) -> tuple[str, Run]:
    """Load what evaluations on `device` need, once per worker; give the hardware's model and the function to run tasks.

    The function takes a msgpack `Request` and gives a msgpack `Evaluation`, `References` or `RivalFound`. It raises
    `msgspec.ValidationError` for a payload that is no request, and lets an EvoaeError or OSError through: an image file
    that is gone or another study's, weights that cannot be written. Those are the host's failures, not the candidate's.
    """
    # Here, not above: a worker says that it lives before PyTorch has loaded, which can take half a minute.
    import torch

    from evoae_cli.evaluation.evaluate import evaluate
    from evoae_cli.evaluation.hardware import device_model

    torch.set_num_threads(threads)
    decoder = msgspec.msgpack.Decoder(Request)
    encoder = msgspec.msgpack.Encoder()

    def run(payload: bytes, progress: Progress) -> tuple[Outcome, bytes, str]:
        request = decoder.decode(payload)
        if isinstance(request, EvaluationRequest):
            try:
                evaluation = evaluate(request, device, progress)
            except OSError as error:
                # Weights are all that an evaluation writes.
                if error.errno in _FULL and error.filename is None:
                    error.filename = request.weights_out
                raise
            return evaluation.outcome, encoder.encode(evaluation), evaluation.reason
        # Only now: scikit-image takes a second to import, and few workers ever measure what is no architecture.
        if isinstance(request, RivalRequest):
            from evoae_cli.evaluation.rivals import UnmeasuredError, measure_rival

            try:
                return Outcome.OK, encoder.encode(measure_rival(request, device)), ""
            except UnmeasuredError as error:
                return Outcome.CRASHED, b"", str(error)
        from evoae_cli.evaluation.references import measure_references

        return Outcome.OK, encoder.encode(measure_references(request)), ""

    return device_model(device), run
