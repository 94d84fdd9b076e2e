"""A retriever that knows your documents: training, and proof that it is better.

Each training writes an artifact, a folder that `embed/` or `search/` loads without torch. Training itself needs the
extra ``tune``.
"""
