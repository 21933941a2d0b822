"""Labelled text in: read, check, split."""
