"""Many stations, as values: what a station reports, and what it adds up to."""
