"""The revisions of the support application's tables."""
