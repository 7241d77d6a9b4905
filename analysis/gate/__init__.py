"""Objectives of a run, and the gate that checks them in CI."""
