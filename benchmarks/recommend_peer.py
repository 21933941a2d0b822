"""The peers' side of the recommender's speed rows; runs in ``.venv-peers`` and knows nothing of this project.

``python recommend_peer.py train.npz``: fits implicit's item-kNN and ALS, and LensKit's item-kNN, says which packages
are missing, then times each once for every line on stdin and answers with one JSON line.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def main(path: str) -> None:
    """Fit, then answer turns."""
    given = np.load(path)
    from scipy.sparse import csr_matrix

    rows, columns, shape = given["rows"], given["columns"], tuple(given["shape"].tolist())
    users = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
    missing = [name for name in ("implicit", "lenskit") if importlib.util.find_spec(name) is None]
    runs: dict[str, Callable[[], object]] = {}
    if "implicit" not in missing:
        runs |= with_implicit(users, int(given["large"]))
    if "lenskit" not in missing:
        runs |= with_lenskit(rows, columns)
    print(json.dumps({"missing": missing}), flush=True)
    for run in runs.values():
        run()
    for _ in sys.stdin:
        taken = {}
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            taken[name] = time.perf_counter() - started
        print(json.dumps(taken), flush=True)


def with_implicit(users: Any, large: int) -> dict[str, Callable[[], object]]:
    """Item-kNN and ALS; for the large catalogue ALS with as many factors as a text vector has numbers / 3."""
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import CosineRecommender

    every = np.arange(users.shape[0])
    knn = CosineRecommender(K=100, num_threads=1)
    knn.fit(users, show_progress=False)
    als = AlternatingLeastSquares(factors=128, iterations=5, num_threads=1, random_state=0)
    als.fit(users, show_progress=False)
    wide = AlternatingLeastSquares(factors=128, iterations=1, num_threads=1, random_state=0)
    wide.user_factors = als.user_factors
    random = np.random.default_rng(0)
    wide.item_factors = als.item_factors[random.integers(0, als.item_factors.shape[0], large)]
    return {
        "top 50, all users: implicit item-kNN": lambda: knn.recommend(every, users, N=50),
        "top 50, all users: implicit ALS": lambda: als.recommend(every, users, N=50),
        "100k candidates, one user: implicit ALS": lambda: wide.recommend(
            0,
            users[0],
            N=50,
            filter_already_liked_items=False,
        ),
    }


def with_lenskit(rows: np.ndarray, columns: np.ndarray) -> dict[str, Callable[[], object]]:
    """Item-kNN over the same interactions, through LensKit's batch runner on one process."""
    import pandas as pd
    from lenskit.batch import recommend
    from lenskit.data import from_interactions_df
    from lenskit.knn import ItemKNNScorer
    from lenskit.pipeline import topn_pipeline

    frame = pd.DataFrame({"user_id": rows, "item_id": columns})
    data = from_interactions_df(frame)
    pipeline = topn_pipeline(ItemKNNScorer(max_nbrs=100, feedback="implicit"))
    pipeline.train(data)
    users = np.unique(rows).tolist()
    return {"top 50, all users: LensKit item-kNN": lambda: recommend(pipeline, users, 50, n_jobs=1)}


if __name__ == "__main__":
    main(sys.argv[1])
