"""Whether a run's figures may be believed, and why not."""
