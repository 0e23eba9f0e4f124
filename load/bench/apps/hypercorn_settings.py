"""Settings of hypercorn that its command line does not have."""

accesslog = None
loglevel = "WARNING"
workers = 1
backlog = 2048
keep_alive_timeout = 75
keep_alive_max_requests = 1_000_000_000
