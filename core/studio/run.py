"""Does one piece of the Studio's work: ``python -m core.studio.run FOLDER``."""

import json
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock

from core.evaluation.files import write_json
from core.operations.child import LEASH
from core.studio.work import END, LOCK, RESULT, STOP

STOP_S = 10  # to end by itself before it is made to


def run(folder: Path) -> int:
    """Run the command to its end, or until ``STOP`` appears in the folder; its exit status."""
    asked = json.loads((folder / "work.json").read_text(encoding="utf-8"))
    recipe = str(folder / "recipe.toml")
    command = [sys.executable, "-m", "core.cli", asked["kind"], recipe, *asked["options"], "--json"]
    # Whoever looks whether it is held holds it for a moment.
    with FileLock(folder / LOCK, timeout=10):
        unfinished = folder / f".{RESULT}.new"
        with unfinished.open("wb") as out:
            # On a leash: killed, this process takes the command with it.
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), str(STOP_S), *command], stdin=subprocess.PIPE, stdout=out
            )
            while (code := process.poll()) is None:
                if (folder / STOP).exists():
                    process.terminate()
                    code = process.wait()
                    break
                time.sleep(0.2)
        if code == 0:
            unfinished.rename(folder / RESULT)
        write_json(folder / END, {"code": code})
    return code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
