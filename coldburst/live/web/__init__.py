"""Additions to Locust's web UI: tabs, a live page, the reports."""
