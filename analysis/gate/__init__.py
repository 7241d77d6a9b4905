"""Objectives of a run, and the gate that holds a CI job to them."""
