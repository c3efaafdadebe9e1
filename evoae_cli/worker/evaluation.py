"""Between the broker's bytes and the science: decode a request, run it, encode what it found."""

import msgspec

from evoae_cli.evaluation.contract import EvaluationRequest, Progress, Request
from evoae_cli.outcome import Outcome
from evoae_cli.worker.process import Run


def start(device: str, threads: int) -> tuple[str, Run]:
    """Load what evaluations on `device` need, once per worker; give the hardware's model and the function to run tasks.

    The function takes a msgpack `Request` and gives a msgpack `Evaluation` or `References`. It raises
    `msgspec.ValidationError` for a payload that is no request.
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
            evaluation = evaluate(request, device, progress)
            return evaluation.outcome, encoder.encode(evaluation), evaluation.reason
        # Only now: scikit-image takes a second to import, and few workers ever measure references.
        from evoae_cli.evaluation.references import measure_references

        return Outcome.OK, encoder.encode(measure_references(request)), ""

    return device_model(device), run
