"""One typed Settings for the whole product, read from HEADWATER_* environment variables."""

from functools import cached_property
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
SHIPPED = PROJECT_ROOT / "data" / "adapters"  # the models that ship, by name


class Settings(BaseSettings):
    """Where things live and how the machine is used; every path is under ``var`` unless told otherwise."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_", extra="ignore")

    var: Path = Path("var")
    datasets: Path = Path("../shared/datasets")
    tracking_uri: str | None = None
    database_url: str | None = None
    cache_memory_mb: int = 1024

    @cached_property
    def runs(self) -> Path:
        """Folders of tuned models that are not (yet) registered, and their checkpoints."""
        return self.var / "runs"

    @cached_property
    def models(self) -> Path:
        """Registered model versions."""
        return self.var / "models"

    @cached_property
    def cache(self) -> Path:
        """Things that can be computed again: converted backbones, frozen-layer activations."""
        return self.var / "cache"

    @property
    def mlflow_uri(self) -> str:
        """The tracking server or database; a local SQLite file unless HEADWATER_TRACKING_URI is set."""
        return self.tracking_uri or f"sqlite:///{(self.var / 'mlflow.db').resolve()}"

    @property
    def database(self) -> str:
        """The applications' database; a local SQLite file unless HEADWATER_DATABASE_URL is set."""
        return self.database_url or f"sqlite:///{(self.var / 'headwater.db').resolve()}"


def get_settings() -> Settings:
    """Read the settings afresh, so that a test or a subprocess can point them elsewhere."""
    return Settings()
