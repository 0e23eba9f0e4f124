"""Request in, response out; no sockets.

In reading order:

*What came:* `request` (what a handler sees), `forms` (how a body becomes fields and files), `accept` (which
of several forms a client prefers).
*Who answers:* `patterns` (one path with placeholders), `tree` (many of them), `router` (paths, hosts and
mounts to handlers), `workers` (threads for handlers that wait), `application` (router, middleware and
error handlers together), `problems` and `debug` (what an error looks like).
*What goes:* `responses` (helpers), `cookies`, `events` (an answer that goes on), `conditions` (whether it
need be sent at all), `templates` (pages), `middleware` (what is done to every answer).
*Files:* `static`, and what it is made of: `paths` (never out), `files` (opened, remembered),
`representations` (their bytes and fields), `ranges`, `listing`.
"""
