"""What a run leaves on disk, and the words in it."""
