"""Two runs or more beside each other: differences with intervals that hold although neighbouring requests are alike."""
