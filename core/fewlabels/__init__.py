"""What can be had with no labels, a few, or all of them, and which labels to get next."""
