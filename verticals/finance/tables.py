"""The finance monitor's database tables; each room adds its own to this metadata."""

from sqlalchemy import MetaData

from core.operations.database import UtcDateTime

metadata = MetaData()

__all__ = ["UtcDateTime", "metadata"]
