"""Groups of settings that several recipes share."""
