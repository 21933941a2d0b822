"""What nobody needs is freed at once, also where the C library cannot give memory back."""

import ctypes
import gc
import weakref
from typing import Any

import pytest

from core.operations.memory import give_back


class Ring:
    def __init__(self) -> None:
        self.me = self


def none(name: Any) -> None:
    raise OSError(name)


@pytest.mark.parametrize("library", [ctypes.CDLL, lambda name: object(), none], ids=["this", "another", "none"])
def test_what_refers_to_itself_is_freed(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", library)
    gc.disable()
    try:
        one = Ring()
        seen = weakref.ref(one)
        del one
        assert seen() is not None
        give_back()
        assert seen() is None
    finally:
        gc.enable()
