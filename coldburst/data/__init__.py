"""Data sets: files whose rows fill request bodies."""
