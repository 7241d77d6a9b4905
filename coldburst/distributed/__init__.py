"""Distributed runs: a master deals the schedule over generators, and loses nothing."""
