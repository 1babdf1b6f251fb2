"""What people read: mistakes explained, things in short, progress."""
