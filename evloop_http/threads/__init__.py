"""Threads for whatever has to wait, so that the loop does not: one pool, and bodies that its threads produce.

Ground: applications, gateways and protocols have their waiting done here. Nothing in it knows a socket or a route.
"""
