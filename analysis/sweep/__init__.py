"""What the stages of a sweep come to: settings side by side, the law, the decision."""
