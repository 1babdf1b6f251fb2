"""The OpenAI-compatible API: models, completions and chat completions."""
