"""Experiments: run one, sweep many, compare, plot and report."""
