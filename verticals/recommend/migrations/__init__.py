"""The revisions of the recommend application's tables."""
