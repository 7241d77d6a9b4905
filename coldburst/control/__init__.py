"""Changes an endpoint between the stages of a sweep, and restores it."""
