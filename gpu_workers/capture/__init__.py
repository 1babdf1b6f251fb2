"""What a worker notes of the work that passes through it: after it, and never in its way."""
