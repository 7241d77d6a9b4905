"""A service that makes talking videos of a script and a portrait, to aim at: ``VideoGenerator``, HTTP, a RunPod handler."""
