"""What runs outside the recipe's process: the warden, a supervisor a program, and the jail.

Standard library alone, and nothing of the package above: these files are started by themselves, so
that they are small and hold nothing worth reading.
"""
