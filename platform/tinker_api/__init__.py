"""The Tinker wire protocol: thin async views over runs, operations, checkpoints and the catalog."""
