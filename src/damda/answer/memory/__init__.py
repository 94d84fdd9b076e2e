"""What was said before, kept: exact and semantic. `cache.py` is where it is asked for."""
