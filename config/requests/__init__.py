"""Processing of requests before and around the views: bodies, proxies and headers."""
