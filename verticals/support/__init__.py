"""Support: the bot with retrieval, for support agents."""

from core.vertical import Vertical

vertical = Vertical(name="support", summary="answers customers' questions with sources, or hands over")
