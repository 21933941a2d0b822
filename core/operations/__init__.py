"""What keeps the product running: database, jobs, supervision, feedback, access."""
