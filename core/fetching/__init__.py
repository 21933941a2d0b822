"""Pages and feeds over HTTP, politely and safely: guarded addresses, bounded bodies, robots.txt, freshness."""
