"""Loading of models from hub ids, folders, GGUF files and demo wheels."""
