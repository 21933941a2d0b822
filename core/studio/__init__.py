"""From an uploaded table to a promoted model without the command line: what the dashboards' Studio page does."""
