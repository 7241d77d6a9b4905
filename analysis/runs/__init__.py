"""Reads what a run left behind: its directory, or the files of a plain locust --csv."""
