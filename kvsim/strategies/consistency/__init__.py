"""What a read may return, and what a client carries for it."""
