"""What can be set about signing in, by HEADWATER_ACCESS_* environment variables."""

from datetime import timedelta
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AccessSettings(BaseSettings):
    """How long a session lasts, and how many wrong passwords are too many."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_ACCESS_", extra="ignore")

    sign_in: Literal["auto", "always"] = Field(
        default="auto", description="auto: dashboards on loopback ask nobody; always: they ask there, too."
    )
    session_hours: float = Field(
        default=8, gt=0, le=24 * 31, description="A session ends so long after signing in, busy or not."
    )
    wrong_passwords: int = Field(default=5, ge=1, description="For one name within the window; then it must wait.")
    wrong_from_address: int = Field(default=30, ge=1, description="From one address within the window, any names.")
    window_minutes: float = Field(default=15, gt=0, description="How long a wrong password counts.")
    look_s: float = Field(
        default=30, gt=0, description="An open page that nobody touches notices so soon that its session has ended."
    )

    @property
    def session(self) -> timedelta:
        """How long a session lasts."""
        return timedelta(hours=self.session_hours)

    @property
    def window(self) -> timedelta:
        """How long a wrong password counts."""
        return timedelta(minutes=self.window_minutes)
