"""What a node is: pure protocol vocabulary, without a world, a clock or randomness of its own."""
