"""Twenty questions: a rule or a model answers yes or no."""
