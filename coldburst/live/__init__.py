"""A run while it goes: snapshot, history, terminal, Prometheus, web pages."""
