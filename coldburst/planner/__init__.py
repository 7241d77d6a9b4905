"""Predictions before spending: the platform's model in virtual time, over any schedule, calibrated from a run."""
