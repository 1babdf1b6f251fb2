"""What a sampling client does: requests and their results."""
