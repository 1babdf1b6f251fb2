"""The process that a worker is: how it is started, what it is made of, how it stays in the log."""
