"""Published and exact figures, reproduced by the real strategies: `make published`."""
