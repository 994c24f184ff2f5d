"""Which partition a key belongs to, and which nodes hold it."""
