"""Who takes a client's request."""
