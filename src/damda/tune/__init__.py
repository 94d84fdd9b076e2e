"""Models and settings tuned on the owner's own documents: how they are made, described and passed on."""
