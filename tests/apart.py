"""Processes of their own without the seconds that importing takes: forks of one that has imported the libraries.

The server ("python -m tests.apart ADDRESS FOLDER") imports, computes nothing and has no second thread, so that forking
it is sound. Each fork takes on the environment, folder, arguments and streams that it is given, and has a process id
that can be killed. The workers of a test run share one server, which ends when the last of them has hung up.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
_MOST = 1 << 17  # bytes of a request: a program, its arguments and its environment


class Fork:
    """A process that runs ``code`` or, without it, ``headwater``; with the methods of ``subprocess.Popen``."""

    def __init__(self, server: "Server", request: dict[str, Any], streams: Sequence[int]) -> None:
        self._server = server
        self.pid = int(server.ask(request, streams)["pid"])
        self.returncode: int | None = None
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.ask({"poll": self.pid})["code"]
        return self.returncode

    def wait(self, timeout: float = 280) -> int:
        """The exit code when it has ended; raises TimeoutError."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"process {self.pid} goes on after {timeout} s")
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it is known to have ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, given: str = "", timeout: float = 280) -> tuple[str, None]:
        """Write ``given``, close the input, and give all that is still to be read; waits for the end."""
        assert self.stdin is not None and self.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(given)
            self.stdin.close()
        told = self.stdout.read()
        self.stdout.close()
        self.wait(timeout)
        return told, None


class Server:
    """A connection to the process that is forked; it is started by the first that asks, ``folder`` being shared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._channel: socket.socket | None = None

    def start(
        self,
        *arguments: str,
        code: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        stderr: int = 2,
    ) -> Fork:
        """Run a Python program (else ``headwater``) with arguments; its input and output are pipes."""
        theirs, mine = os.pipe()
        ours, yours = os.pipe()
        try:
            made = Fork(self, _request(arguments, code, env, cwd), (theirs, yours, stderr))
        finally:
            os.close(theirs)
            os.close(yours)
        made.stdin, made.stdout = os.fdopen(mine, "w"), os.fdopen(ours)
        return made

    def run(
        self, *arguments: str, code: str | None = None, env: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        """The same from its beginning to its end, with what it wrote."""
        with (
            open(os.devnull) as nothing,
            tempfile.TemporaryFile("w+", encoding="utf-8") as out,
            tempfile.TemporaryFile("w+", encoding="utf-8") as err,
        ):
            streams = (nothing.fileno(), out.fileno(), err.fileno())
            ended = Fork(self, _request(arguments, code, env, cwd), streams).wait()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(arguments, ended, out.read(), err.read())

    def ask(self, request: dict[str, Any], streams: Sequence[int] = ()) -> dict[str, Any]:
        """One question and its answer."""
        if self._channel is None:
            self._channel = self._connect()
        socket.send_fds(self._channel, [json.dumps(request).encode()], list(streams))
        answer = self._channel.recv(_MOST)
        if not answer:
            raise RuntimeError("the process that is forked has ended; its error is above")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """Hang up."""
        if self._channel is not None:
            self._channel.close()

    def _connect(self) -> socket.socket:
        address = f"\0headwater-{self._folder}"  # an abstract address: no file, and gone with its process
        with FileLock(self._folder / ".apart.lock"):
            with contextlib.suppress(OSError):
                return _dial(address)
            quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
            command = [sys.executable, "-m", "tests.apart", str(self._folder)]
            nothing = subprocess.DEVNULL
            process = subprocess.Popen(
                command, cwd=ROOT, env=quiet, stdin=nothing, stdout=nothing, start_new_session=True
            )
            while process.poll() is None:
                with contextlib.suppress(OSError):
                    return _dial(address)
                time.sleep(0.05)
        raise RuntimeError("the process that is forked did not start; its error is above")


def _dial(address: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


def _request(arguments: Sequence[str], code: str | None, env: Mapping[str, str] | None, cwd: Path) -> dict[str, Any]:
    environment = dict(os.environ if env is None else env)
    return {"arguments": list(arguments), "code": code, "env": environment, "cwd": str(cwd)}


# --- the process that is forked ---------------------------------------------------------------------------


def _import() -> None:
    """What the programs of the tests need; nothing of it may read settings, compute, or start a thread."""
    import numpy  # noqa: F401
    import pandas  # noqa: F401
    import sqlalchemy  # noqa: F401
    import torch  # noqa: F401
    import transformers.models.auto.modeling_auto
    import transformers.models.bert.modeling_bert  # noqa: F401

    import core.cli
    import core.serving.predictor
    import core.serving.registry
    import core.workflow  # noqa: F401
    from core.serving import mlflow_client

    mlflow_client._quiet()
    mlflow_client._import_mlflow()
    # jemalloc, in pyarrow, knows of forks and begins its thread anew; whatever another thread held would stay locked.
    threads = {path.name: (path / "comm").read_text().strip() for path in Path("/proc/self/task").iterdir()}
    others = [name for number, name in threads.items() if number != str(os.getpid()) and name != "jemalloc_bg_thd"]
    assert not others, f"threads {others}: a fork of this could hang"


def _serve(folder: str) -> None:
    _import()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(f"\0headwater-{folder}")
    listening.listen()
    waiting = selectors.DefaultSelector()
    waiting.register(listening, selectors.EVENT_READ)
    callers = 0
    while ready := waiting.select(None if callers else 60):  # else whoever started it has gone
        for key, _ in ready:
            if key.fileobj is listening:
                waiting.register(listening.accept()[0], selectors.EVENT_READ)
                callers += 1
                continue
            channel = key.fileobj
            assert isinstance(channel, socket.socket)
            message, streams, _, _ = socket.recv_fds(channel, _MOST, 3)
            if not message:
                waiting.unregister(channel)
                channel.close()
                callers -= 1
                if not callers:
                    return
                continue
            request = json.loads(message)
            if "poll" in request:
                pid, status = os.waitpid(request["poll"], os.WNOHANG)
                answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
            else:
                child = os.fork()
                if not child:
                    for other in list(waiting.get_map().values()):  # which would not end while this one lives
                        os.close(other.fd)
                    waiting.close()
                    _become(request, streams)
                for stream in streams:
                    os.close(stream)
                answer = {"pid": child}
            channel.send(json.dumps(answer).encode())


def _become(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """Run what was asked for as a fresh interpreter would, and end."""
    import atexit
    import importlib
    import threading
    import traceback

    status = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        sys.path[:0] = ["", *filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))]
        importlib.invalidate_caches()
        sys.argv = ["-c" if request["code"] else "headwater", *request["arguments"]]
        if request["code"]:
            program = {"__name__": "__main__"}
            exec(compile(request["code"], "<program>", "exec"), program)
            status = 0
        else:
            from core.cli import main

            status = main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1])
