"""Micro-batches: bounded, on time, each request answered once, faults kept apart."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, wait

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.serving.batching import Batcher, DeadlineExceeded, Overloaded


def double(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


def test_concurrent_requests_share_a_call() -> None:
    sizes: list[int] = []

    def run(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        return double(items)

    with Batcher(run, max_batch=8, max_wait_ms=200) as batcher:
        futures = [batcher.submit(i) for i in range(8)]
        assert [f.result(5) for f in futures] == [2 * i for i in range(8)]
    assert sizes == [8]


def test_a_lonely_request_does_not_wait_for_company_longer_than_told() -> None:
    with Batcher(double, max_batch=64, max_wait_ms=20) as batcher:
        begun = time.monotonic()
        assert batcher.submit(1).result(5) == 2
        assert time.monotonic() - begun < 2


def test_ten_thousand_requests_with_a_bound_of_256() -> None:
    started, go = threading.Event(), threading.Event()
    computed: Counter[int] = Counter()

    def run(items: Sequence[int]) -> list[int]:
        started.set()
        go.wait(30)
        computed.update(items)
        return double(items)

    batcher = Batcher(run, max_batch=32, max_wait_ms=1, bound=256, deadline_s=60)
    accepted: dict[int, Future[int]] = {}
    answers: Counter[int] = Counter()
    refused: list[float] = []
    lock = threading.Lock()

    def client(first: int) -> None:
        for item in range(first, 10_000, 8):
            begun = time.thread_time()
            try:
                future = batcher.submit(item)
            except Overloaded as error:
                assert error.retry_after_s > 0
                with lock:
                    refused.append(time.thread_time() - begun)
            else:
                future.add_done_callback(lambda _, item=item: answers.update([item]))
                with lock:
                    accepted[item] = future

    clients = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(60)
    # Nothing was computed meanwhile, so exactly the bound was taken and all others were refused.
    assert len(accepted) == 256
    assert len(refused) == 10_000 - 256
    assert sorted(refused)[len(refused) // 2] < 0.005
    go.set()
    wait(accepted.values(), 60)
    assert all(future.result(0) == 2 * item for item, future in accepted.items())
    batcher.close()
    assert computed == Counter(accepted.keys())
    assert answers == Counter(accepted.keys())
    assert batcher.unanswered == 0


def test_a_request_past_its_deadline_is_never_run() -> None:
    go, seen = threading.Event(), []

    def run(items: Sequence[int]) -> list[int]:
        seen.extend(items)
        go.wait(30)
        return double(items)

    batcher = Batcher(run, max_batch=1, max_wait_ms=0, deadline_s=0.2)
    first, second = batcher.submit(1), batcher.submit(2)
    begun = time.monotonic()
    for future in (first, second):  # the one that hangs, too: its caller must not
        with pytest.raises(DeadlineExceeded):
            future.result(10)
    assert time.monotonic() - begun < 5
    go.set()
    third = batcher.submit(3)
    assert third.result(10) == 6
    batcher.close()
    assert seen == [1, 3]


def test_a_poisoned_request_fails_alone() -> None:
    def run(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise ValueError("unlucky")
        return double(items)

    with Batcher(run, max_batch=16, max_wait_ms=200) as batcher:
        futures = [batcher.submit(i) for i in range(16)]
        for i, future in enumerate(futures):
            if i == 13:
                with pytest.raises(ValueError, match="unlucky"):
                    future.result(5)
            else:
                assert future.result(5) == 2 * i
        assert batcher.submit(1).result(5) == 2  # it lives on


def test_a_wrong_number_of_results_is_an_error_and_not_a_shift() -> None:
    with (
        Batcher(lambda items: [0] * (len(items) + 1), max_batch=4, max_wait_ms=50) as batcher,
        pytest.raises(RuntimeError, match="2 results for 1 requests"),
    ):
        batcher.submit(1).result(5)


def test_closing_drains_and_then_refuses() -> None:
    batcher = Batcher(double, max_batch=4, max_wait_ms=5_000, bound=100)
    futures = [batcher.submit(i) for i in range(10)]
    begun = time.monotonic()
    batcher.close()
    assert time.monotonic() - begun < 4  # it did not wait for more company
    assert [f.result(0) for f in futures] == [2 * i for i in range(10)]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(1)


def test_closing_in_time_leaves_nobody_waiting() -> None:
    go = threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        go.wait(30)
        return double(items)

    batcher = Batcher(run, max_batch=1, max_wait_ms=0)
    futures = [batcher.submit(i) for i in range(3)]
    batcher.close(timeout_s=0.1)
    for future in futures:
        with pytest.raises(DeadlineExceeded):
            future.result(1)
    go.set()


def test_from_asyncio_and_with_cancelled_callers() -> None:
    go = threading.Event()

    def run(items: Sequence[int]) -> list[int]:
        go.wait(30)
        return double(items)

    async def main(batcher: Batcher[int, int]) -> list[int]:
        tasks = [asyncio.ensure_future(asyncio.wrap_future(batcher.submit(i))) for i in range(20)]
        await asyncio.sleep(0.05)
        for task in tasks[10:]:
            task.cancel()
        go.set()
        return list(await asyncio.gather(*tasks[:10]))

    with Batcher(run, max_batch=4, max_wait_ms=1) as batcher:
        assert asyncio.run(main(batcher)) == [2 * i for i in range(10)]
    assert batcher.unanswered == 0


@settings(max_examples=25, deadline=None)
@given(
    items=st.lists(st.integers(-5, 50), max_size=60),
    max_batch=st.integers(1, 9),
    bound=st.integers(1, 40),
    max_wait_ms=st.sampled_from([0, 1]),
)
def test_every_accepted_request_is_answered_once_with_its_own_result(
    items: list[int], max_batch: int, bound: int, max_wait_ms: float
) -> None:
    ran: Counter[int] = Counter()

    def run(batch: Sequence[tuple[int, int]]) -> list[int]:
        assert 1 <= len(batch) <= max_batch
        if any(value < 0 for _, value in batch):
            raise ValueError("negative")
        ran.update(number for number, _ in batch)
        return [2 * value for _, value in batch]

    accepted: dict[int, Future[int]] = {}
    answered: Counter[int] = Counter()
    batcher = Batcher(run, max_batch=max_batch, bound=bound, max_wait_ms=max_wait_ms)
    for number, value in enumerate(items):
        try:
            accepted[number] = batcher.submit((number, value))
        except Overloaded:
            assert len(accepted) >= bound
        else:
            accepted[number].add_done_callback(lambda _, number=number: answered.update([number]))
    batcher.close()
    for number, future in accepted.items():
        assert future.done()
        if items[number] < 0:
            assert isinstance(future.exception(), ValueError)
        else:
            assert future.result() == 2 * items[number]
    assert answered == Counter(accepted.keys())
    assert ran == Counter(n for n in accepted if items[n] >= 0)
