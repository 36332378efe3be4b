"""The jobs of the command line: `cytostorm <job> [hydra overrides]`."""
