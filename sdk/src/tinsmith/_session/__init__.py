"""A client's stay at a server: the session, futures, and waiting."""
