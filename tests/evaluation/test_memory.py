import pytest
import torch

from evoae_cli.evaluation.memory import is_memory_error


def test_an_allocation_that_cannot_succeed_is_told_from_a_bug() -> None:
    with pytest.raises(RuntimeError) as too_much:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_memory_error(too_much.value)
    with pytest.raises(RuntimeError) as bug:
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert not is_memory_error(bug.value)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_every_library_s_word_for_it_is_known(error: Exception) -> None:
    assert is_memory_error(error)


def test_an_error_of_another_kind_is_no_memory_error() -> None:
    assert not is_memory_error(ValueError("out of memory"))
