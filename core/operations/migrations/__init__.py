"""The revisions of the core's own tables."""
