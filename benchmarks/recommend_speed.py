"""Speed: 100,000 candidates for one user, the top 50 for everybody, beside implicit and LensKit; memory at 1M items.

The peers live in ``.venv-peers`` (``benchmarks/recommend_peer.py``); both sides read the same interactions, run on one
thread in turns, and the medians of the turns are told. A peer that is not installed is named as missing.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, vstack
from threadpoolctl import threadpool_limits

from benchmarks.recommend_data import Data, say
from core.settings import PROJECT_ROOT
from verticals.recommend.candidates import Source, seen_mask, top_k
from verticals.recommend.ease import Ease
from verticals.recommend.histories import Histories
from verticals.recommend.hybrid import Hybrid, HybridConfig, fit_hybrid
from verticals.recommend.taste import TextTaste
from verticals.recommend.text_ease import TextEase

PEERS = PROJECT_ROOT / ".venv-peers" / "bin" / "python"
LARGE = 100_000


def speed(data: Data, repeats: int = 9) -> dict[str, Any]:
    """Median milliseconds of each side in turns, and bytes an item."""
    hybrid = fit_hybrid(data.items, data.train, data.vectors, HybridConfig())
    blend = replace(hybrid, ranker=None)
    large, one = _enlarged(hybrid, data, LARGE)
    runs: dict[str, Callable[[], Any]] = {
        "100k candidates, one user: hybrid": lambda: large.score(one),
        "100k candidates, one user: blend": lambda: replace(large, ranker=None).score(one),
        "top 50, all users: hybrid": lambda: hybrid.recommend(data.train, 50),
        "top 50, all users: blend": lambda: blend.recommend(data.train, 50),
        "top 50, all users: ease": lambda: _top(hybrid.features.sources[0], data.train),
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    with threadpool_limits(1), _Peer(data.train) as peer:
        for run in runs.values():
            run()
        for turn in range(repeats):
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                taken[name].append(time.perf_counter() - started)
            for name, seconds in peer.turn().items():
                taken.setdefault(name, []).append(seconds)
            say(f"turn {turn + 1} of {repeats}")
        missing = peer.missing
    return {
        "milliseconds": {name: round(float(np.median(times)) * 1000, 2) for name, times in taken.items()},
        "turns": repeats,
        "missing": missing,
        "memory": memory(large, LARGE),
    }


def memory(hybrid: Hybrid, n: int) -> dict[str, float]:
    """Megabytes of what grows with the items, for 1M items, from the arrays held for n."""
    features = hybrid.features
    tags = features.tags.data.nbytes + features.tags.indices.nbytes + features.tags.indptr.nbytes
    # Dates and popularity as they are, and made ready in half the width: log popularity, years, whether known.
    grows: dict[str, int] = {"tags": tags, "dates and popularity": features.published.nbytes * 7 // 2}
    for source in features.sources:
        if isinstance(source, TextTaste):
            grows["text vectors"] = source.vectors.nbytes  # the fitted text reads the same ones
    return {name: round(size / n, 1) for name, size in grows.items()} | {
        "total for 1M items": round(sum(grows.values()) / n, 1)
    }


class _Peer:
    """A process of the peers' environment that runs each timing once a turn."""

    def __init__(self, train: Histories) -> None:
        self.train, self.missing = train, [] if PEERS.is_file() else ["implicit", "lenskit"]
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "_Peer":
        if self.missing:
            return self
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "train.npz"
        matrix = self.train.matrix(equal=True)
        np.savez(file, rows=matrix.tocoo().row, columns=matrix.tocoo().col, shape=matrix.shape, large=LARGE)
        command = [str(PEERS), str(PROJECT_ROOT / "benchmarks" / "recommend_peer.py"), str(file)]
        one = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=one)
        self.missing = json.loads(self._line())["missing"]
        return self

    def turn(self) -> dict[str, float]:
        """Seconds of each of the peers' timings."""
        if self.process is None or self.process.stdin is None:
            return {}
        self.process.stdin.write("turn\n")
        self.process.stdin.flush()
        return dict(json.loads(self._line()))

    def _line(self) -> str:
        out = self.process.stdout if self.process else None
        line = out.readline() if out else ""
        if not line:
            raise RuntimeError("the peers' process ended; run benchmarks/recommend_peer.py by hand to see why.")
        return line

    def __exit__(self, *error: object) -> None:
        if self.process is not None:
            if self.process.stdin:
                self.process.stdin.close()
            self.process.wait(30)
            self.folder.cleanup()


def _enlarged(hybrid: Hybrid, data: Data, n: int) -> tuple[Hybrid, Histories]:
    """The fitted hybrid over a catalogue of n items: MovieLens and items without events, made of its vectors."""
    from verticals.recommend.features import REFERENCE
    from verticals.recommend.popularity import Popular, Trending

    random = np.random.default_rng(0)
    more = random.integers(0, len(data.items), n - len(data.items))
    users = data.train.take(np.array([int(np.argmax(data.train.lengths))]))
    one = replace(users, n_items=n)

    known = next(source.vectors for source in hybrid.features.sources if isinstance(source, TextTaste))
    noise = random.normal(0, 0.02, (len(more), known.shape[1])).astype(np.float32)
    vectors = np.concatenate([known, known[more] + noise])

    def grown(source: Any) -> Any:
        if isinstance(source, Ease):
            return replace(source, n_items=n)
        if isinstance(source, TextTaste | TextEase):
            return replace(source, vectors=vectors)
        if isinstance(source, Popular):
            return replace(source, counts=np.concatenate([source.counts, np.zeros(len(more))]))
        if isinstance(source, Trending):
            return replace(source, n_items=n)
        name = "similarities" if hasattr(source, "similarities") else "weights"
        matrix = getattr(source, name).copy()
        matrix.resize((n, n))
        return replace(source, **{name: matrix})

    features = hybrid.features
    enlarged = replace(
        features,
        sources=tuple(grown(source) for source in features.sources),
        tags=csr_array(vstack([features.tags, features.tags[more]])),
        published=np.concatenate([features.published, features.published[more]]),
        popularity=np.concatenate([features.popularity, np.zeros(len(more))]),
        reference=np.sort(random.choice(n, REFERENCE, replace=False)),
    )
    return replace(hybrid, features=enlarged), one


def _top(source: Source, users: Histories) -> Any:
    return top_k(source.score(users), 50, seen_mask(users))
