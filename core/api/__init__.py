"""The REST API: models over HTTP, the verticals' routers, access keys, limits, logs and metrics."""
