"""From a source to its items: polite, guarded fetching and reading of feeds, pages, interfaces and archives."""
