"""Schedules: text to stages, stages to arrivals."""
