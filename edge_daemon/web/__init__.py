"""The status page and the HTTP endpoints: reads snapshots, decides nothing."""
