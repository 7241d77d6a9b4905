"""The emulator's settings: its command line and configuration file, read into specs of endpoints and workers."""
