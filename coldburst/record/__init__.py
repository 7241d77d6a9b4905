"""The files that a run writes, and the terms in them."""
