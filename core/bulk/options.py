"""What a bulk run does; kept in its manifest, so that a resumed run is the same run."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Operation = Literal["predict", "embed", "score"]
Spread = Literal["local", "ray"]

ADDED: dict[str, tuple[str, ...]] = {
    "predict": ("prediction", "probability"),
    "embed": ("embedding",),
    "score": ("score",),
}
ERROR = "error"  # the column that says why a row has no result


class Options(BaseModel):
    """Everything that decides what comes out; not how many workers compute it, which may change between runs.

    ``text`` and ``pair`` name the columns (score: query and document); empty, they are the model's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    operation: Operation
    model: str = Field(min_length=1)
    text: str | None = None
    pair: str | None = None
    passages: bool = Field(default=False, description="embed: texts are what is searched, not what is asked")
    engine: str = Field(default="auto", description="what runs the network: auto, torch, onnx, onnx-int8, openvino")
    long_texts: Literal["head", "windows"] = "head"
    shard_rows: int = Field(default=10_000, ge=1, le=10_000_000)
