"""One turn of one wheel in a process of its own: ``python -m core.operations.turning VERTICAL.NAME``."""

import os
import sys

from core.errors import InputError


def turn_once(name: str) -> int:
    """Turn it; 0 whatever the gate said, 2 with one line on stderr when it could not be turned."""
    from sqlalchemy import MetaData

    from core.operations.database import open_database
    from core.operations.flywheel import turn
    from core.operations.wheels import find_wheel

    try:
        vertical, wheel = find_wheel(name)
        turn(wheel, open_database(MetaData()), vertical)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    os.nice(10)  # whoever asks goes first
    sys.exit(turn_once(sys.argv[1]))
