"""The number of threads follows affinity and every control group above the process."""

import os
from pathlib import Path

import pytest

from core.serving.threads import available_cpus


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "350000 100000"}, 3),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "400000 100000",
          "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 4),
        ({"proc/self/cgroup": "0::/not/mounted", "sys/fs/cgroup/cpu.max": "150000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({"proc/self/cgroup": "4:cpu,cpuacct:/docker/x", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"proc/self/cgroup": "4:cpu,cpuacct:/x", "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "-1",
          "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000"}, 8),
    ],
)  # fmt: skip
def test_quotas(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert available_cpus(write(tmp_path, files)) == expected


def test_the_environment_lowers_it_and_never_raises_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for told, expected in (("3", 3), ("99", 8), ("0", 8), ("2,1", 2), ("many", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert available_cpus(tmp_path) == expected
