"""`edge-daemon`, also as `python -m edge_daemon`."""

from edge_daemon.cli.main import main

if __name__ == "__main__":
    main()
