"""Readiness, time, sockets and ciphertext; no HTTP.

In reading order: `timers` (deadlines on a heap), `wakeup` (other threads and signals),
`reactor` (one selector, one loop), `transport` (one socket and its send queue), `tls` (the same
over TLS), `certificates` (its contexts), `binding` and `listener` (where connections come from).
"""
