"""The monitor's own settings, from HEADWATER_FINANCE_* environment variables."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.settings import PROJECT_ROOT

DATA = PROJECT_ROOT / "data" / "finance"


class FinanceSettings(BaseSettings):
    """Where the sample is served, which inner addresses may be reached, and what the stages may take."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_FINANCE_", extra="ignore")

    sample: bool = Field(True, description="serve the synthetic sample site and watch it")
    sample_port: int = Field(8590, ge=1, le=65535)
    allow: Annotated[str, NoDecode] = Field(
        "", description="addresses that are not public but may be fetched, with blanks between: 10.1.0.0/16 10.2.0.3:80"
    )
    webhook: str = Field("", repr=False, description="one more receiver of every alert: http(s) or an Apprise address")
    contact: str = Field("", description="address in the user agent; some publishers ask for one")
    sources_file: Path = DATA / "sources.toml"
    rules_file: Path = DATA / "rules.toml"
    companies_file: Path = DATA / "companies.csv"
    polls_at_once: int = Field(8, ge=1, le=64)
    batch: int = Field(64, ge=1, le=1024, description="articles labelled in one step; what a kill can cost")
    refresh: float = Field(10, ge=1, description="seconds between two looks of an open dashboard at the database")
    keep_days: int = Field(730, ge=30, description="articles older than this are forgotten")

    @property
    def allowed(self) -> list[str]:
        """Exceptions for the address guard; the sample server's own port is one of them while it is served."""
        own = [f"127.0.0.1:{self.sample_port}"] if self.sample else []
        return [*own, *self.allow.split()]


def finance_settings() -> FinanceSettings:
    """Read the settings afresh."""
    return FinanceSettings()
