"""The emulator's HTTP routes."""
