"""From what the user names to a model in memory: hub ids, folders, GGUF files, demo models."""
