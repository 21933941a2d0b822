"""Who people are: accounts, sessions, and the log of what they did. API and dashboards share them."""
