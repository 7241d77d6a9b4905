"""Looks at an endpoint before its first test: what it is, whether it answers, what it costs, and where one request's time goes."""
