"""Looks at an endpoint before its first test: what it is, whether it answers, what it costs, where the time of one request or ten goes."""
