"""Two runs or more beside each other: differences with intervals that time's likeness does not fake."""
