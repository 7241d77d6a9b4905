"""Load tests for serverless GPU endpoints, on Locust."""

__version__ = "0.1.0"
