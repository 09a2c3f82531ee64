"""Read tables of responses and votes whose column names are not those of a known format."""
