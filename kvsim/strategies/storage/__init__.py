"""What a value is, and how often it may be written."""
