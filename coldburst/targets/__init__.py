"""The kinds of endpoint: how each is called, and what its answers mean."""
