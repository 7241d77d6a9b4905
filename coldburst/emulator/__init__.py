"""RunPod's platform on this machine: its HTTP surface over ``coldburst.serverless`` and the wall clock."""
