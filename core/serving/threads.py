"""How many threads this process may use: the CPUs it is allowed on, less what a container's quota withholds."""

import math
import os
from pathlib import Path


def available_cpus(root: Path = Path("/")) -> int:
    """Whole CPUs this process can keep busy, at least 1.

    The smallest of the CPU affinity, the CPU quota of the control group and of every group above it (cgroup v1
    or v2), and OMP_NUM_THREADS. ``root`` stands before /proc and /sys.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [float(affinity), *_quotas(root)]
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if told.isdigit() and int(told) > 0:
        limits.append(float(told))
    # Half a CPU more is not worth a thread that is stopped half of the time, hence rounded down.
    return max(1, math.floor(min(limits)))


def use_available_cpus() -> int:
    """Let torch compute on ``available_cpus`` threads; returns how many."""
    import torch

    count = available_cpus()
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
    return count


def _quotas(root: Path) -> list[float]:
    found = []
    for folder in _groups(root, ""):  # version 2: one hierarchy, "max" or "quota period"
        words = _read(folder / "cpu.max").split()
        if len(words) == 2 and words[0] != "max":
            found.append(float(words[0]) / float(words[1]))
    for folder in _groups(root, "cpu"):  # version 1: -1 means no quota
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota and period and float(quota) > 0:
            found.append(float(quota) / float(period))
    return found


def _groups(root: Path, controller: str) -> list[Path]:
    """The process's control group under /sys/fs/cgroup and every group above it, the mount point included."""
    path = ""
    for line in _read(root / "proc/self/cgroup").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3 and (controller in parts[1].split(",") if controller else parts[0] == "0"):
            path = parts[2].strip("/")
    mounts = [root / "sys/fs/cgroup" / top for top in (("cpu", "cpu,cpuacct") if controller else ("", "unified"))]
    # In a container the path may be the host's, which is not mounted: the mount point itself is then the group.
    return [
        mount.joinpath(*path.split("/")[:depth]) for mount in mounts for depth in range(len(path.split("/")), -1, -1)
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
