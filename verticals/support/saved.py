"""Questions kept for comparing versions of the index."""

from pathlib import Path

from core.errors import InputError
from verticals.support.settings import SHIPPED


def saved_questions(path: Path | None = None) -> list[str]:
    """One a line; the shipped ones unless a file is given. Raises InputError when there are none."""
    path = path or SHIPPED / "saved-questions.txt"
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}).") from error
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise InputError(f"{path} holds no questions; write one a line.")
    return found
