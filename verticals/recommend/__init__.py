"""Recommend: a recommender that understands items by their text and ranks them by behaviour."""

from core.vertical import Vertical

vertical = Vertical(name="recommend", summary="scores candidates for a user by text and behaviour, with reasons")
