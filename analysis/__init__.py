"""Runs in, report out."""
