"""Tool use: questions that only a search can answer."""
