"""The workers: processes with models, what they do with them, and the memory that the models take."""
