"""What can be set about the API, by HEADWATER_API_* environment variables or options of ``headwater api``."""

from typing import Any

from limits import RateLimitItem, parse
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import InputError

MAX_TEXTS = 256
MAX_CHARACTERS = 20_000


class ApiSettings(BaseSettings):
    """Limits of the API. Times in seconds unless the name says otherwise, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_API_", extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    rate: str = Field(
        default="6000/minute", description="Requests per caller, as the limits library writes it: 20/second."
    )
    rate_storage: str = Field(
        default="async+memory://", description="Where counts are kept; async+redis://… when several processes serve."
    )
    body_limit: int = Field(default=4 * 2**20, ge=1024)
    max_models: int = Field(default=4, ge=1, description="Models kept in memory; the one longest unused leaves first.")
    load_timeout_s: float = Field(default=60, gt=0, description="How long a request waits for its model to be loaded.")
    fresh_s: float = Field(default=10, ge=0, description="How soon a promoted version is noticed.")
    replaced_s: float = Field(
        default=60, ge=0, description="How long a version that was replaced stays in memory after its last use."
    )
    max_batch: int = Field(default=64, ge=1, description="Texts computed in one call; 1 switches micro-batching off.")
    max_wait_ms: float = Field(default=2.0, ge=0, description="How long the first text of a batch waits for company.")
    queue: int = Field(
        default=1024, ge=MAX_TEXTS, description="Texts of one model that may wait; more are refused with 503."
    )
    deadline_s: float = Field(default=10, gt=0, description="A model's answer that takes longer becomes a 503.")
    answer_timeout_s: float = Field(
        default=120, gt=0, description="Any answer that has not begun by then becomes a 503."
    )
    stop_timeout_s: int = Field(default=30, ge=0, description="How long requests under way may go on after a stop.")


def read_config(**given: Any) -> ApiSettings:
    """The settings, ``given`` ones before the environment's. Raises InputError naming the variable that is wrong."""
    try:
        config = ApiSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"HEADWATER_API_{first['loc'][0]}".upper()
        raise InputError(f"{name}: {first['msg']}.") from None
    rate_of(config.rate)
    return config


def rate_of(text: str) -> RateLimitItem:
    """The rate a setting means. Raises InputError."""
    try:
        return parse(text)
    except ValueError:
        raise InputError(f"HEADWATER_API_RATE: {text!r} is no rate; write for example 20/second.") from None
