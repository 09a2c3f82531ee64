"""What happens to a request before and around the views: its body, its proxies, its headers."""
