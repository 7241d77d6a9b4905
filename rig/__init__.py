"""The library behind the locustfiles: schedules, attempts, the wire, the run directory."""
