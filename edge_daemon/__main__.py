"""`edge-daemon`, also as `python -m edge_daemon`."""

from edge_daemon.host.interpreter import leave_current_folder

leave_current_folder()

from edge_daemon.cli.main import main  # noqa: E402 - only now are modules looked for

if __name__ == "__main__":
    main()
