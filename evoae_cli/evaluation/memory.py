"""Telling that memory ran out, and getting it back."""

import errno
import gc

import torch

# PyTorch raises a plain RuntimeError where the CPU's allocator, cuDNN or cuBLAS finds no memory; only its text tells.
_SIGNS = (
    "can't allocate memory",  # DefaultCPUAllocator
    "out of memory",
    "bad_alloc",
    "alloc_failed",  # CUDNN_STATUS_ALLOC_FAILED, CUBLAS_STATUS_ALLOC_FAILED
    # oneDNN does not say why. In a process with limited memory these came up beside the allocator's own (measured); the
    # networks built here hold no convolution that it would refuse for another reason.
    "could not create a primitive",
    "could not create a memory object",
    "could not execute a primitive",
)


def is_memory_error(error: BaseException) -> bool:
    """Whether `error` says that the CPU's or the GPU's memory was not enough."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        # A file that cannot be mapped.
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def free_memory(device: str) -> None:
    """Give back what failed work left. Call it outside the `except` block, whose traceback keeps tensors alive."""
    gc.collect()
    if torch.device(device).type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.empty_cache()
