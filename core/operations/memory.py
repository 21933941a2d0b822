"""Memory that a long-running process no longer needs, given back at once instead of at some time."""

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Free what only refers to itself, and return free memory to the machine where the C library knows how (glibc).

    For when something large was let go. What refers to itself waits for a collector that, in a process which rarely
    makes many objects, may not come for hours; and what is freed stays with the thread that loaded it, out of the next
    one's reach. Takes some tenths of a second.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
