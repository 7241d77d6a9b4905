"""The emulator's workers: real processes on the runpod SDK, or modelled ones."""
