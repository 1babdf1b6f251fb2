"""Which model families the engine can serve: not by a list of names, but by proof."""
