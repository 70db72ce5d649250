"""Every SQL statement of reporting, by resource.

Functions that take `db` are single selects of the hot path, one round trip; those that take `tx`
run in the caller's transaction.
"""
