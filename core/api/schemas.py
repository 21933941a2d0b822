"""What goes in and out of the models' routes, with units and examples."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.api.config import MAX_TEXTS
from core.api.texts import Text

Pair = Annotated[list[Text], Field(min_length=2, max_length=2)]
ModelName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=130,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}([@:][a-z0-9][a-z0-9_-]{0,62})?$",
        description="A name of /v1/models, also as name@alias or name:version. Never a path.",
        examples=["banking-intents"],
    ),
]


class PredictRequest(BaseModel):
    """Texts to label, score or answer."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName
    texts: list[Text | Pair] = Field(
        min_length=1,
        max_length=MAX_TEXTS,
        description=f"1 to {MAX_TEXTS} texts of 1 to 20,000 characters, not blank, without NUL; for a model of pairs "
        "(ranking: query and document) two texts each.",
        examples=[["My card still has not come", "why was i charged twice?"]],
    )
    top: int = Field(
        5, ge=1, le=1000, description="How many labels to give probabilities of, the likeliest first.", examples=[5]
    )


class UsedModel(BaseModel):
    """The model that answered."""

    name: str = Field(description="Its name.", examples=["banking-intents"])
    version: int | None = Field(description="Its registered version; null for what ships.", examples=[3])
    task: str = Field(description="What it was tuned for.", examples=["classification"])


class PredictionOut(BaseModel):
    """One text's answer."""

    label: str | list[str] = Field(
        description="The likeliest label; a list for multi-label models; the reply of a generation model.",
        examples=["card_arrival"],
    )
    probability: float | None = Field(
        description="Calibrated probability of the label, 0 to 1; null where there is none.", examples=[0.93]
    )
    probabilities: dict[str, float] = Field(
        description="Probability (0 to 1) of the `top` likeliest labels, the likeliest first.",
        examples=[{"card_arrival": 0.93, "card_delivery_estimate": 0.04}],
    )
    truncated: bool = Field(
        description="True when the text is longer than the model reads and only its beginning was looked at.",
        examples=[False],
    )


class PredictResponse(BaseModel):
    """Answers in the order of the texts."""

    model: UsedModel
    predictions: list[PredictionOut] = Field(description="One for each text, in order.")


class EmbedRequest(BaseModel):
    """Texts to turn into vectors."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = Field(examples=["minilm"])
    texts: list[Text] = Field(
        min_length=1,
        max_length=MAX_TEXTS,
        description=f"1 to {MAX_TEXTS} texts of 1 to 20,000 characters, not blank, without NUL.",
        examples=[["How do I order a new card?"]],
    )
    kind: Literal["query", "passage"] = Field(
        "query", description="Whether the texts ask or are what is searched; some models read them differently."
    )


class EmbedResponse(BaseModel):
    """Vectors in the order of the texts."""

    model: UsedModel
    dimension: int = Field(description="Numbers in each vector.", examples=[384])
    vectors: list[list[float]] = Field(
        description="One unit-length vector for each text, in order, rounded to 7 decimals: the dot product of two is "
        "their cosine, -1 to 1.",
        examples=[[[0.0364213, -0.0570921]]],
    )


class ModelOut(BaseModel):
    """A model that can be named."""

    name: str = Field(description="Its name.", examples=["banking-intents"])
    source: Literal["registered", "shipped", "backbone"] = Field(description="Where it comes from.")
    task: str = Field(
        description="classification, ranking or generation (for /v1/predict), matching or embedding (for /v1/embed).",
        examples=["classification"],
    )
    version: int | None = Field(description="The version a bare name means; null for what ships.", examples=[3])
    aliases: dict[str, int] = Field(description="Versions by alias.", examples=[{"production": 3, "previous": 2}])


class ModelsResponse(BaseModel):
    """All models, by name."""

    models: list[ModelOut]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = Field(description="Always ok.")


class Part(BaseModel):
    """How one part of the installation is."""

    status: str = Field(description="ready, loading or failed.", examples=["ready"])
    reason: str | None = Field(None, description="Why it failed; only for known callers.", examples=[None])


class Readiness(BaseModel):
    """Whether requests can be answered."""

    status: Literal["ready", "degraded"] = Field(description="degraded: something failed, the rest answers.")
    applications: dict[str, Part] = Field(description="The installed applications.")
    models: dict[str, Part] = Field(description="The models asked for since the start.")
