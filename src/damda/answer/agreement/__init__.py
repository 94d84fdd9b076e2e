"""Whether two questions may share an answer. `agree.py` is where they are compared."""
