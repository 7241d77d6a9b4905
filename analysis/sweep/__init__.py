"""A sweep: its stages, its settings compared with the baseline, the scalability law, the decision."""
