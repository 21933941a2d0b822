"""Measurements of the product: side by side with peers, and against the quality figures aimed at."""
