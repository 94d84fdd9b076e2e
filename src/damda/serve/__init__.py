"""damda over HTTP: what existing clients speak, and a page for people.

docs/decisions/0013-serving.md describes the interface.
"""
