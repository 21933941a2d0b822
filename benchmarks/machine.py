"""What a figure was measured on: processor, memory and library versions; nothing that names the machine."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "sentence-transformers", "peft", "scikit-learn")


def describe(cpuinfo: Path = Path("/proc/cpuinfo"), meminfo: Path = Path("/proc/meminfo")) -> dict[str, Any]:
    """CPU model, cores this process may use, memory in GiB, Python and library versions."""
    return {
        "cpu": _field(cpuinfo, "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _gib(_field(meminfo, "MemTotal")),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "threads_setting": os.environ.get("OMP_NUM_THREADS"),
    }


def stamp() -> dict[str, Any]:
    """Date (UTC, to the minute) and machine: what every result carries."""
    return {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": describe()}


def summary(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    versions = machine["versions"]
    libraries = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers") if name in versions)
    memory = f", {machine['memory_gib']} GiB" if machine.get("memory_gib") else ""
    return f"{machine['cpu']}, {machine['cores']} cores{memory}, {libraries}"


def _field(file: Path, name: str) -> str | None:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _gib(total: str | None) -> int | None:
    return round(int(total.split()[0]) / 2**20) if total else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
