"""What search needs of an encoder; ``core.serving.load_encoder`` gives one."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Encoder(Protocol):
    """Texts to vectors of length 1."""

    @property
    def fingerprint(self) -> str:
        """Changes when the same text would get another vector."""

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        """float32 [n, d]; ``passages`` marks texts that are searched, not searched for."""
