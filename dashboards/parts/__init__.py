"""What the three dashboards share."""
