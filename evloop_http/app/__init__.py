"""Request in, response out; no sockets.

In reading order:

*The request:* `request` (what a handler sees), `forms` (how a body becomes fields and files), `accept` (which
of several forms a client prefers), `hosts` (which host it names).
*Who answers:* `routing` (paths, hosts and mounts to handlers), `answers` (what a handler may return), `later` (a
response that is not there yet), `coroutines` (`async def` handlers and middleware), `errors`, `problems` and `debug`
(what becomes of an exception), `registering` (what an application is told before it serves), `application` (all of
these together, answering).
*The response:* `responses` (helpers), `cookies`, `events` (a response that goes on), `conditions` (whether it
needs to be sent at all), `templates` (pages), `middleware` (what happens to every response).
*Files:* `static`: `paths` (never out of the directory), `files` (opened, remembered), `representations` (their
bytes and fields), `ranges`, `listing`.
"""
