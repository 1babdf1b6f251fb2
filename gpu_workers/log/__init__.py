"""A worker at the operation log: what it takes, what it has in hand, what it writes back.

Work comes in through the drain, goes to an engine, comes back on the engine's threads and leaves
through the finisher. `platform/operations` holds the statements; here is who calls them, and when.
"""
