"""Backbones named by a hub id: from the local hub cache first, downloaded where there is a network."""

import re
from pathlib import Path

from core.errors import InputError
from core.models import weights

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "README.md"]
_OTHER_FORMATS = ["onnx/*", "openvino/*", "coreml/*", "original/*", "*.onnx", "*.msgpack", "*.h5"]


def is_id(name: str) -> bool:
    """Whether ``name`` has the form of a hub id, such as ``bert-base-uncased`` or ``ProsusAI/finbert``."""
    return _ID.fullmatch(name) is not None and len(name) <= 96 and ".." not in name and "--" not in name


def fetch(name: str) -> Path:
    """The folder of the model in the hub cache. Raises OSError with a short reason when it cannot be had."""
    cached = _cached(name)
    if cached is not None:
        return cached
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        for pattern in (
            "*.safetensors",
            "pytorch_model*.bin",
        ):  # pickled weights only when there are no others
            folder = Path(
                snapshot_download(
                    name,
                    allow_patterns=[*_SMALL_FILES, pattern],
                    ignore_patterns=_OTHER_FORMATS,
                    etag_timeout=10,
                )
            )
            if weights.find(folder):
                return folder
    except GatedRepoError:
        raise OSError("its authors ask you to accept their terms first; log in with `hf auth login`") from None
    except RepositoryNotFoundError:
        raise OSError("the hub has no such public model") from None
    except Exception as error:  # the client raises its own, httpx's and the operating system's errors
        raise OSError(_reason(error)) from error
    raise OSError("it has no safetensors or PyTorch weights")


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        return folder if (folder / "config.json").is_file() and weights.find(folder) else None
    except (OSError, ValueError, InputError):  # not there, or an interrupted download
        return None


def _reason(error: Exception) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    if constants.HF_HUB_OFFLINE:
        return "it is not in the local hub cache and HF_HUB_OFFLINE is set"
    detail = "" if isinstance(error, LocalEntryNotFoundError) else f" ({type(error).__name__})"
    return f"it is not in the local hub cache and the hub did not answer{detail}"
