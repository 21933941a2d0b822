"""Search: nearest vectors, matching words, both together, in versions that are swapped whole."""
