"""The figures of a report: what each shows, and the one style in which all are drawn."""
