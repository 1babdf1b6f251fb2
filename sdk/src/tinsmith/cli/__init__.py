"""``tinsmith`` on the command line.

Exit codes: 0 done, 1 it failed, 2 the command was not understood, 130 interrupted.
"""
