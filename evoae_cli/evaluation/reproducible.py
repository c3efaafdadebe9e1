"""The same request gives the same bits, whatever ran before in this process: torch's global settings and generators."""

import contextlib
import os
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Run with deterministic algorithms, true float32 and `threads` threads on the CPU; then put the settings back.

    The number of threads changes the last digits, so it is a setting and never found out.
    """
    # cuBLAS reads it when it starts; without it a deterministic matrix product raises.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    mode = torch.get_deterministic_debug_mode()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # torch's own lazy module
    n_threads = torch.get_num_threads()
    try:
        # The same as use_deterministic_algorithms(True), which also imports the compiler: 150 MB in every worker.
        torch.set_deterministic_debug_mode("error")
        # Nothing here reads memory it has not written; filling every new tensor with NaN would cost a pass over each.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.set_num_threads(threads)
        # TF32 keeps 10 of float32's 23 bits; what is called float32 here is float32.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(n_threads)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        torch.set_deterministic_debug_mode(mode)


@contextlib.contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Set torch's global generators, which initial weights and dropout draw from, from `seed`; then put them back."""
    gpus = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield
