"""The handlers behind the routes, grouped by what they are about."""
