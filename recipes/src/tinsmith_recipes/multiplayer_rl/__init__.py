"""Games and other dialogues of several turns: against a rule, another model, or itself."""
