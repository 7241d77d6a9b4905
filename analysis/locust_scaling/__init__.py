"""Scaling from nothing but the CSV files of plain Locust: levels, their efficiency, the page."""
