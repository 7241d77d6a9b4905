"""Percentiles, intervals, and what a sample says of itself; nothing here knows of runs."""
