"""Sends the requests of a schedule and writes one row for each attempt."""
