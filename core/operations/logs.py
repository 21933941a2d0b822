"""Where the children of ``headwater up`` write: a file that turns over, and on the terminal only what is wrong."""

import re
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

MAX_BYTES = 5 * 2**20
KEPT = 3
MAX_LINE = 16_384  # bytes; a longer line is cut into several
_WRONG = re.compile(r'\b(ERROR|CRITICAL|FATAL)\b|"level": ?"(error|critical)"|^Traceback |^\w[\w.]*(Error|Exception): ')


class Log:
    """A file ``NAME.log``; at ``max_bytes`` it becomes ``NAME.log.1`` and so on, and the oldest goes."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        self.path, self._max_bytes, self._kept = path, max_bytes, kept
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("ab")
        self._lock = threading.Lock()

    def write(self, line: bytes) -> None:
        """Append a line. A full disk loses log lines, and stops nothing."""
        with self._lock:
            try:
                if self._stream.tell() + len(line) > self._max_bytes:
                    self._turn()
                self._stream.write(line)
                self._stream.flush()
            except OSError:
                return

    def _turn(self) -> None:
        self._stream.close()
        for number in range(self._kept, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number}"))
        self._stream = self.path.open("ab")

    def close(self) -> None:
        """No more lines."""
        with self._lock:
            self._stream.close()


class Follower(threading.Thread):
    """Copies a child's output to its log; ``tell`` gets each line that reports an error, ``every`` gets them all.

    ``tail``: the last lines, to say why a child ended.
    """

    def __init__(
        self, stream: IO[bytes], log: Log, tell: Callable[[str], None], every: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(daemon=True)
        self._stream, self._log, self._tell, self._every = stream, log, tell, every
        self.tail: deque[str] = deque(maxlen=20)

    def run(self) -> None:
        """Until the child and all it started have closed the stream."""
        with self._stream:
            while line := self._stream.readline(MAX_LINE):
                self._log.write(line if line.endswith(b"\n") else line + b"\n")
                text = line.decode("utf-8", "replace").rstrip()
                if not text:
                    continue
                self.tail.append(text)
                if self._every is not None:
                    self._every(text)
                elif _WRONG.search(text):
                    self._tell(text)
