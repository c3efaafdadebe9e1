from pathlib import Path

import pytest
import torch

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.hardware import (
    available_memory,
    bfloat16_is_fast,
    device_model,
    devices,
    has_bfloat16_instructions,
    least_memory,
    n_cores,
    total_memory,
)

GPUS = [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def test_auto_takes_every_gpu_or_else_the_cpu() -> None:
    assert devices("auto") == (GPUS or ["cpu"])
    assert devices("cpu") == ["cpu"]


def test_a_device_named_twice_counts_once() -> None:
    assert devices("cpu, cpu") == ["cpu"]


@pytest.mark.parametrize("selection", ["cuda:99", "gpu", "cpu,mps:0", ""])
def test_a_device_that_does_not_exist_is_refused_with_those_that_do(selection: str) -> None:
    with pytest.raises(UsageError, match=rf"--device {selection}: there is no device .*this machine has cpu"):
        devices(selection)


@pytest.mark.skipif(bool(GPUS), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(UsageError, match="no GPU that PyTorch can use; this machine has cpu"):
        devices("cuda")


def test_the_cpu_has_a_name_cores_and_memory() -> None:
    assert device_model("cpu").strip()
    assert n_cores() >= 1
    assert 2**26 < available_memory("cpu") < 2**50


@pytest.mark.parametrize("device", ["cpu", *GPUS])
def test_a_device_s_memory_does_not_depend_on_what_is_free(device: str) -> None:
    total = total_memory(device)
    held = torch.ones(2**26, dtype=torch.uint8, device=device)
    total_memory.cache_clear()
    assert total_memory(device) == total
    assert 0 < held.nbytes < available_memory(device) <= total


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="only Linux says it there")
def test_the_cpu_s_memory_is_at_most_the_machine_s() -> None:
    first = Path("/proc/meminfo").read_text().splitlines()[0].split()
    assert first[0] == "MemTotal:"
    assert total_memory("cpu") <= int(first[1]) * 1024


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "1073741824"}, 2**30),
        ({"memory.max": "max"}, None),
        ({"memory/memory.limit_in_bytes": "536870912"}, 2**29),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None),  # how version 1 says that there is no limit
        ({}, None),
    ],
)
def test_a_container_s_limit_counts_where_it_is_less_than_the_machine_s_memory(
    files: dict[str, str], expected: int | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    machine = 2**40
    assert least_memory(machine, tmp_path) == (expected or machine)


@pytest.mark.parametrize(
    ("flags", "is_fast"),
    [
        ("fpu sse2 avx2 avx512f avx512_bf16 amx_bf16 amx_tile", True),  # Sapphire Rapids
        ("fpu sse2 avx2 avx512f avx512_bf16", True),  # Zen 4
        ("fpu sse2 avx2 avx512f avx512_fp16", False),
        ("fpu sse2 avx2 avx_bf16x", False),
    ],
)
def test_bfloat16_is_fast_where_the_cpu_has_instructions_of_its_own_for_it(flags: str, is_fast: bool) -> None:
    cpuinfo = f"processor\t: 0\nmodel name\t: avx512_bf16 by name only\nflags\t\t: {flags}\nbugs\t\t:\n"
    assert has_bfloat16_instructions(cpuinfo) is is_fast


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="only Linux describes its CPU there")
def test_this_cpu_is_judged_by_its_own_description() -> None:
    assert bfloat16_is_fast("cpu") is has_bfloat16_instructions(Path("/proc/cpuinfo").read_text())


def test_a_cpu_without_a_description_gets_no_bfloat16() -> None:
    assert not has_bfloat16_instructions("")
