"""What users do, written once and run through every client.

A scenario is a function of a `Kit` and JSON arguments that returns a JSON value; tests judge it.
"""
