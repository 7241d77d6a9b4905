"""What the services of this project share: admission with a queue, the start and end of a process, the server."""
