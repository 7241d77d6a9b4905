"""API keys: which environment variable holds them. Standard library only."""

from __future__ import annotations

RUNPOD_KEY = "RUNPOD_API_KEY"
"""The environment variable that holds RunPod's key."""
TRANSCRIPTION_KEY = "TRANSCRIPTION_API_KEY"
"""The environment variable that holds the key of any other service."""
