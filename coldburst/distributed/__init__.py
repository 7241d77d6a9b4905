"""Distributed runs: a master assigns the arrivals of a schedule to generators and collects their rows."""
