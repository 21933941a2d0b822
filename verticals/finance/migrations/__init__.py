"""The revisions of the finance application's tables."""
