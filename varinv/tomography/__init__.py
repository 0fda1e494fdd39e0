"""From a scan to a reconstruction."""
