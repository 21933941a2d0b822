"""Conditions on metadata: equality, membership, range, and "one of my groups"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from core.errors import InputError

Where = Mapping[str, Any]
"""``{"language": "en", "groups": ["public", "agents"], "price": {"min": 10, "max": 20}}``: all must hold.

A list asks for any of its values; a row whose own value is a list matches when the two share one."""


@dataclass(frozen=True)
class Metadata:
    """Metadata of rows 0..n-1, with postings made when a field is first asked for."""

    rows: Sequence[Mapping[str, Any]]

    @cached_property
    def _fields(self) -> dict[str, dict[Any, np.ndarray]]:
        return {}

    def _postings(self, field: str) -> dict[Any, np.ndarray]:
        if field not in self._fields:
            found: dict[Any, list[int]] = {}
            for number, row in enumerate(self.rows):
                value = row.get(field)
                for one in value if isinstance(value, list | tuple | set) else [value]:
                    found.setdefault(one, []).append(number)
            self._fields[field] = {value: np.array(numbers) for value, numbers in found.items()}
        return self._fields[field]

    def mask(self, where: Where | None) -> np.ndarray | None:
        """bool [n], or None when there is no condition. Raises InputError for a condition that means nothing."""
        if not where:
            return None
        result = np.ones(len(self.rows), dtype=bool)
        for field, wanted in where.items():
            postings = self._postings(field)
            if isinstance(wanted, Mapping):
                keys = _in_range(field, wanted, postings)
            else:
                keys = list(wanted) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
            here = np.zeros(len(self.rows), dtype=bool)
            for key in keys:
                if key in postings:
                    here[postings[key]] = True
            result &= here
        return result


def _in_range(field: str, wanted: Mapping[str, Any], postings: Mapping[Any, np.ndarray]) -> list[Any]:
    unknown = sorted(set(wanted) - {"min", "max"})
    if unknown or not wanted:
        raise InputError(f"condition on {field!r}: a range has min, max or both, not {unknown or 'neither'}.")
    low, high = wanted.get("min"), wanted.get("max")
    try:
        return [v for v in postings if v is not None and (low is None or v >= low) and (high is None or v <= high)]
    except TypeError as error:
        raise InputError(f"condition on {field!r}: its values cannot be compared with {dict(wanted)}.") from error
