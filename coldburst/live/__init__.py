"""The view of a running test: snapshot, history, terminal, Prometheus, web pages."""
