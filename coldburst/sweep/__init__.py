"""One setting after the other, each measured alone."""
