"""The design choices: a folder for each axis, a file for each strategy."""
