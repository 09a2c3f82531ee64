"""Login with django-allauth: passwords, rate limits, second factors and OpenID Connect.

Rankloop uses allauth's components (login stages, authenticators, rate limits, the OAuth client), but neither
its pages nor its API. Login is part of Rankloop's own API and shares the API's schema, error format and
access table.
"""
