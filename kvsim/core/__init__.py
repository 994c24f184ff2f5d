"""What a node is. Pure: nothing here knows SimPy, asyncio, a socket, a file, a clock or a randomness of its own."""
