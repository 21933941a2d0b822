"""Memory that a long-running process no longer needs, given back at once instead of at some time."""

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Free what only refers to itself, and return free memory to the machine where the C library knows how (glibc).

    For when something large was let go. A predictor refers to itself, and in a process that rarely makes many objects
    the collector may not come for hours; what is freed then stays with the thread that loaded it, out of the next
    one's reach. Takes some tenths of a second.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
