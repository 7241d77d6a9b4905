"""The serverless platform as a pure state machine: it takes ``now`` and returns actions."""
