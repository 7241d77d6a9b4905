"""The emulator's settings: its command line and configuration file."""
