"""What the bot knows: documents read, cut into passages, indexed in versions."""
