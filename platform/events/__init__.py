"""What has happened that pages show: durable events, and cursors by which none is missed."""
