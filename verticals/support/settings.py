"""How the support application is set up; every field is also an environment variable HEADWATER_SUPPORT_…."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.settings import PROJECT_ROOT, get_settings

SHIPPED = PROJECT_ROOT / "data" / "support"


class SupportSettings(BaseSettings):
    """Where things are and how the bot decides.

    ``dialogues`` is a log that ``headwater up`` mines when nothing was mined yet (empty: none).
    ``intents`` is a tuned classifier (folder, name or name@alias) and ``scope`` the model fitted to its scores;
    ``precision`` is the share of right answers wanted among those given; ``rewriter`` is empty (quote as it is),
    ``smollm2``, or the address of an OpenAI-compatible endpoint. ``role_groups`` says which groups' documents a role
    may read over REST; an admin may read all.
    """

    model_config = SettingsConfigDict(env_prefix="HEADWATER_SUPPORT_", extra="forbid")

    index: Path = Field(default_factory=lambda: get_settings().var / "support" / "index")
    knowledge: Path = SHIPPED / "knowledge"
    templates: Path = SHIPPED / "templates.toml"
    dialogues: Path | None = SHIPPED / "dialogues.jsonl"
    scope: Path = SHIPPED / "scope"
    thresholds: Path = Field(default_factory=lambda: get_settings().var / "support" / "thresholds.json")
    encoder: str = "minilm"
    intents: str = "banking-intents"
    engine: str = "onnx"
    precision: float = Field(default=0.95, gt=0.5, lt=1.0)
    role_groups: dict[str, tuple[str, ...]] = Field(
        default={"agent": ("public", "agents"), "analyst": ("public",), "product": ("public",)}
    )
    annotated_similarity: float = Field(default=0.9, gt=0.0, le=1.0)
    passages: int = Field(default=5, ge=1, le=50)
    keep_versions: int = Field(default=5, ge=2, le=100)
    reranker: str = ""
    reranker_ms: float = Field(default=120.0, gt=0.0)
    rewriter: str = ""
    rewriter_model: str = ""
    rewriter_key: str = ""
    rewriter_seconds: float = Field(default=8.0, gt=0.0)

    @field_validator("dialogues", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return None if value == "" else value
