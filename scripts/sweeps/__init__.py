"""Sweeps: many jobs, each in a folder named by what it computes, run here, on a SLURM cluster or on Ray.

A launcher only decides where and when `work` runs for a folder; what became of a job is in the folder.
"""
