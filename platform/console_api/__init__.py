"""What the dashboard reads and writes: a JSON API for people who are signed in with a browser."""
