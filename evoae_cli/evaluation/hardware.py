"""What the machine has: devices to compute on, what they are called, what they are fast at, how much memory."""

import functools
import platform
import re
import subprocess
import sys
from pathlib import Path

from evoae_cli.errors import UsageError

_GIB = 2**30
_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""Where a container's memory limit stands, what it uses, and the line there on file pages: cgroup v2, then v1."""


def devices(selection: str) -> list[str]:
    """The devices that `auto`, `cpu`, `cuda`, or a list as `cuda:0,cuda:2` stands for, each named once.

    `auto`: every GPU, else the CPU. Raises UsageError, naming what exists, for a device that does not.
    """
    import torch

    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    exist = f"this machine has {', '.join(['cpu', *gpus])}"
    chosen: list[str] = []
    for name in (part.strip() for part in selection.split(",")):
        if name == "auto":
            found = gpus or ["cpu"]
        elif name == "cuda":
            found = gpus
        else:
            found = [name] if name in ("cpu", *gpus) else []
        if not found:
            wanted = "no GPU that PyTorch can use" if name == "cuda" else f"no device {name!r}"
            raise UsageError(f"--device {selection}: there is {wanted}; {exist}")
        chosen += found
    return list(dict.fromkeys(chosen))


@functools.cache
def device_model(device: str) -> str:
    """Name of the hardware behind `device`, for example `AMD EPYC 9654 96-Core Processor` or `NVIDIA H100 PCIe`."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return _cpu_model() or platform.processor() or platform.machine()


@functools.cache
def bfloat16_is_fast(device: str) -> bool:
    """Whether `device` computes in bfloat16 faster than in float32: its own instructions, not an emulation."""
    import torch

    if device.startswith("cuda"):
        # Compute capability 8.0, Ampere, is the first with bfloat16 tensor cores.
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return has_bfloat16_instructions(_read("/proc/cpuinfo"))


def has_bfloat16_instructions(cpuinfo: str) -> bool:
    """Whether Linux's description of a CPU names such instructions; without one bfloat16 is not used."""
    match = re.search(r"^flags\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return match is not None and not {"amx_bf16", "avx512_bf16"}.isdisjoint(match[1].split())


def available_memory(device: str) -> int:
    """Bytes that a new process may use on `device` now; for the CPU also within a container's limit."""
    if device.startswith("cuda"):
        import torch

        free, _total = torch.cuda.mem_get_info(device)
        return free
    free = _meminfo("MemAvailable") or _mac_memory() or 2 * _GIB
    limit = _cgroup_free()
    return free if limit is None else min(free, limit)


@functools.cache
def total_memory(device: str) -> int:
    """Bytes of memory that `device` has, free or not; for the CPU the machine's, or a container's limit if it is less.

    Where the system does not say, more than any work needs.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_properties(device).total_memory
    return least_memory(_meminfo("MemTotal") or _mac_memory() or sys.maxsize, _CGROUPS)


def least_memory(machine: int, cgroups: Path) -> int:
    """The machine's memory, or the limit of a container whose control groups lie in `cgroups` if it is less; bytes."""
    limits = (int(text) for path, *_ in _CGROUP_FILES if (text := _read(cgroups / path).strip()).isdigit())
    return min([machine, *limits])


def n_cores() -> int:
    """CPU cores this process may use, not those the machine has."""
    from joblib import cpu_count  # knows the limits of containers, and this process's affinity

    return int(cpu_count())


def _read(path: str | Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _cpu_model() -> str:
    if platform.system() == "Darwin":
        return _sysctl("machdep.cpu.brand_string")
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return match[1].strip() if match else ""


def _meminfo(name: str) -> int | None:
    match = re.search(rf"^{name}:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _mac_memory() -> int | None:
    text = _sysctl("hw.memsize") if platform.system() == "Darwin" else ""
    return int(text) if text.isdigit() else None


def _cgroup_free() -> int | None:
    """What a container's memory limit leaves; None without a limit.

    Pages of files that the kernel can drop count as used there, so they are taken off.
    """
    for limit_path, used_path, stat_path, cache_name in _CGROUP_FILES:
        limit, used = (_read(_CGROUPS / path).strip() for path in (limit_path, used_path))
        if limit.isdigit() and used.isdigit():
            cached = re.search(rf"^{cache_name} (\d+)$", _read(_CGROUPS / stat_path), re.MULTILINE)
            return max(int(limit) - int(used) + (int(cached[1]) if cached else 0), 0)
    return None


def _sysctl(name: str) -> str:
    try:
        found = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()
