"""Judge models honestly: metrics with intervals, calibration, comparison, plots, model card."""
