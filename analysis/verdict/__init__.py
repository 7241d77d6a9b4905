"""The verdict: whether the figures of a run can be trusted."""
