"""Hydra configuration: one primary file per job and one folder per group."""
