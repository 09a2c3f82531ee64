"""Logging in, over django-allauth: passwords, rate limits, second factors and OpenID Connect.

Of allauth we use the machinery (login stages, authenticators, rate limits, the OAuth client), not its pages
or its API: log-in is part of our own API, with its schema, its one shape of errors and its access table.
"""
