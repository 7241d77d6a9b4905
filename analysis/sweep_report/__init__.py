"""The report of a sweep: its answer, tables, figures and metrics."""
