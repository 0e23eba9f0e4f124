"""Who watches the server at work: the access log."""
