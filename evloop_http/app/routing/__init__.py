"""Which handler answers a request, and the way back from a route to its path."""
