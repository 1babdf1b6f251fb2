"""Where the server is, who asks, and what the server wants of its clients."""
