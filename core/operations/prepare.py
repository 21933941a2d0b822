"""Let one vertical prepare itself, in a process of its own: ``python -m core.operations.prepare NAME``.

Its progress goes to stdout, a line a step. Exit codes as those of ``headwater``.
"""

import os
import sys

from core.errors import InputError


def prepare(name: str) -> int:
    """Call the vertical's ``prepare``."""
    from core.vertical import load

    try:
        vertical = load(name)
        if vertical.prepare is not None:
            vertical.prepare(lambda line: print(line, flush=True))
    except InputError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    os.nice(10)  # what already serves, above all the worker with the first news, goes first
    sys.exit(prepare(sys.argv[1]))
