"""Learning from the company's own logged conversations."""
