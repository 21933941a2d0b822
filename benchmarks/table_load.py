"""The figures of load, soak and faults as Markdown."""

from pathlib import Path

from benchmarks import store
from benchmarks.markdown import origin, reason
from benchmarks.markdown import table as as_table


def load_table(results: Path) -> str:
    """Latency by route, memory, recovery of each killed process, and what was lost."""
    found = store.read(results / "load.json").get("parts", {}).get("load", {})
    if "soak" not in found:
        return f"load and faults: {reason([found])}."
    soaked = found["soak"]
    routes = [
        [name, f"{one['requests']:,}", str(one["failed"]), f"{one['p50_ms']:.0f}", f"{one['p95_ms']:.0f}"]
        for name, one in soaked["by_route"].items()
    ]
    memory = ", ".join(
        f"{name} {one['mb']:,.0f} MB ({one['slope_mb_per_hour']:+.0f} MB/h)" for name, one in soaked["memory"].items()
    )
    killed = [
        [one["process"], f"{one['recovered_s']:.1f}", str(one["requests_tried_again"])] for one in found["faults"]
    ]
    writes = [kind for part in found["lost"].values() for kind in part.values()]
    answered, lost, twice = (sum(one[word] for one in writes) for word in ("answered", "lost", "twice"))
    failed = sum(one["failed"] for one in found["under_faults"]["by_route"].values())
    return "\n".join(
        [
            as_table(["requests", "sent", "failed", "p50 ms", "p95 ms"], routes),
            "",
            f"{found['clients']} clients for {soaked['seconds'] / 60:.0f} minutes on the cores that also serve, "
            f"{soaked['requests_per_second']:.1f} requests/s, while the worker polls; another version of the model was "
            f"promoted in the middle. Memory at the end, and its slope over the second half: {memory}.",
            "",
            as_table(["killed (SIGKILL) under load", "seconds until healthy", "requests tried again"], killed),
            "",
            f"Requests that failed for good: {failed}. Writes answered with success: {answered:,}; lost: {lost}; "
            f"stored twice: {twice}. {origin([found], 'load')}",
        ]
    )
