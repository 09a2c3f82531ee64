"""Structured logs, request IDs and error reports of the web server, the workers and the training process.

All modules use Python's `logging`. `setup` configures all loggers. `formatters` add the fields of the current
request or task (`context`). No log line contains values from exceptions (`messages`).
"""
