"""Threads for whatever has to wait, so that the loop does not: pools, and bodies that their
threads produce, or read while they arrive.

Ground: applications, gateways and protocols have their waiting done here. Nothing in it knows a socket or a route.
"""
