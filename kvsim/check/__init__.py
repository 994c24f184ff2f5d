"""The judges of a history: a file for each promise."""
