"""Things on this machine to aim at, each a process of its own."""
