"""Read tables of responses and votes whose columns have other names than those of a known format."""
