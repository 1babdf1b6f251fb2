"""The durable, ordered log of work: submit, claim, finish, wait.

The only code that moves an operation's state.
"""
