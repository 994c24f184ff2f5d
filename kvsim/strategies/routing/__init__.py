"""How a node finds who holds a key."""
