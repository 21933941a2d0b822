"""Errors that are the user's to mend: one clear sentence, exit code 2, never a traceback."""


class InputError(Exception):
    """Wrong use or bad input. The message names the file, row and column or the field, and what to do."""


class MissingExtra(InputError):
    """An optional package is not installed; the message carries the exact pip command."""

    def __init__(self, what: str, command: str) -> None:
        super().__init__(f"{what} needs a package that is not installed. Run: {command}")
        self.command = command
