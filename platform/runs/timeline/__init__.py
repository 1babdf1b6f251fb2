"""Where a run's time goes: read from the log, divided into causes, drawn as lanes."""
