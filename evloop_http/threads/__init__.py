"""Threads for whatever has to wait, so that the loop does not; and bodies that they produce, or read while they arrive.

Ground: applications, gateways and protocols have their waiting done here. Nothing in it knows a socket or a route.
"""
