"""What can be set about the worker, by HEADWATER_WORKER_* environment variables."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.operations.lease import SECONDS


class WorkerSettings(BaseSettings):
    """How many jobs run at once, and how fast another worker notices a dead one. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_WORKER_", extra="ignore")

    threads: int = Field(default=3, ge=1, le=64, description="Jobs that may run at the same time.")
    heartbeat_s: float = Field(default=5, gt=0, description="How often the worker says that it is alive.")
    lease_s: float = Field(default=SECONDS, gt=0, description="A worker that is silent for so long is taken over.")
    stop_s: float = Field(default=20, ge=0, description="How long a running job may go on after a stop.")
    grace_s: float = Field(
        default=60, ge=1, description="A run that starts later than this, and than its interval, is missed."
    )
