"""What becomes of concurrent versions of one key."""
