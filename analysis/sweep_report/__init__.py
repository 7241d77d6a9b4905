"""What a sweep comes to: its answer, sheets, figures and metrics."""
