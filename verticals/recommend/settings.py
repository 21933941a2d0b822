"""Where the recommender keeps its things and what it is fitted with; environment HEADWATER_RECOMMEND_*."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.settings import PROJECT_ROOT, Settings, get_settings
from verticals.recommend.hybrid import HybridConfig

SAMPLE = PROJECT_ROOT / "data" / "recommend"


class RecommendSettings(BaseSettings):
    """``encoder``: a backbone, a folder or ``name@alias`` of a tuned matching model; ``ranker`` as in HybridConfig."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_RECOMMEND_", extra="ignore")

    encoder: str = "minilm"
    sample: Path = SAMPLE
    ranker: str = "auto"
    warm_from: int = Field(default=3, ge=1, description="events from which a user counts as known")
    variety_depth: int = Field(default=200, ge=1, description="places that are re-ranked for variety and under rules")
    max_candidates: int = Field(default=200_000, ge=1, description="of one request")
    max_events: int = Field(default=100_000, ge=1, description="of one request to append")
    seed: int = 0

    @property
    def core(self) -> Settings:
        """The settings of the whole product."""
        return get_settings()

    @property
    def folder(self) -> Path:
        """Trained versions and caches."""
        return self.core.var / "recommend"

    def hybrid(self) -> HybridConfig:
        """How the ranker is fitted. Raises ValidationError for an unknown ranker."""
        return HybridConfig.model_validate({"ranker": self.ranker, "seed": self.seed})


def recommend_settings() -> RecommendSettings:
    """Read afresh, so that a test or a subprocess can point them elsewhere."""
    return RecommendSettings()
