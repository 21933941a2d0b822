"""Hypothesis without a deadline: a busy machine must not fail a test."""

from hypothesis import settings

settings.register_profile("data", deadline=None)
settings.load_profile("data")
