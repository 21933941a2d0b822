"""From a source to its items: reading of feeds, pages, interfaces and archives, over the guarded client of the core."""
