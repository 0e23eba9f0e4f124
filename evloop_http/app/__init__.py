"""Request in, response out; no sockets.

In reading order: `request` (what a handler sees), `forms` (how a body becomes fields and files),
`router` (patterns to handlers), `workers` (threads for handlers that wait), `application` (router,
middleware and error handlers together), `static` (files), `templates` (pages).
"""
