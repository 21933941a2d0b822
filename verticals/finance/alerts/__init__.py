"""Alerts: rules, a state machine whose every step is a transaction, and delivery that never loses one."""
