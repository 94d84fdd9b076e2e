"""What may be said: each module is a guard, or a part of one. See `answer/guard.py` for how they are put together."""
