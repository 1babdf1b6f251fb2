"""What a training client does: requests in a run's order, passes, losses, saving, logging."""
