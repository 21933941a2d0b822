"""The pages of the finance dashboard; they call the vertical's public functions and nothing else."""
