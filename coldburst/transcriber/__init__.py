"""A transcription service with a real recogniser to aim at."""
