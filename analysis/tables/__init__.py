"""The figures of one run, a noun a file."""
