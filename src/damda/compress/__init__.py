"""A lighter model, what it costs, and what fits. Does not know: how an answer is made of what a model says."""
