"""Holds one child process of ``headwater up`` and ends it, with all that it started, when ``up`` is gone.

Run as ``python leash.py SECONDS COMMAND …`` with a pipe as its input. ``up`` keeps the other end open and never
writes; when ``up`` dies, however it dies, the pipe ends. Then, and on SIGTERM, the command's process group is asked
to end (SIGTERM) and after SECONDS made to (SIGKILL); SIGQUIT does the latter at once. The leash's exit status is the
command's; 128 + N for signal N.

Only the standard library, and no other module of ours: it is started for each process and must be small and quick.
"""

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGTERM, signal.SIGQUIT)


def _as_usual() -> None:
    """In the command: Ctrl-C means what it does, and on Linux the kernel ends it should the leash be killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hold(seconds: float, command: list[str]) -> int:
    """Run the command until it ends or the pipe does; its exit status."""
    child: subprocess.Popen[bytes] | None = None
    asked: queue.SimpleQueue[float] = queue.SimpleQueue()  # one signal's handler may interrupt another's: no Event

    def end_group(number: int) -> None:
        if child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, number)

    def end() -> None:
        patience = asked.get()
        end_group(signal.SIGTERM)
        time.sleep(patience)
        end_group(signal.SIGKILL)

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        asked.put(seconds)

    def at_once(*_: object) -> None:
        asked.put(0)
        end_group(signal.SIGKILL)

    # Before the command is there: a signal that comes this early must not be lost.
    signal.signal(signal.SIGTERM, lambda *_: asked.put(seconds))
    signal.signal(signal.SIGQUIT, at_once)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_as_usual,
        )
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    # Only this thread is to get signals: one that another thread gets would not wake it from its wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    for task in (watch, end):
        threading.Thread(target=task, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    code = child.wait()
    end_group(signal.SIGKILL)  # what it started and left behind
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.stdout.flush()
    os._exit(hold(float(sys.argv[1]), sys.argv[2:]))
