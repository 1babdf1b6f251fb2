"""The cookbook: training loops over the SDK, and nothing else of the platform."""
