"""Does it work, how well, how fast."""
