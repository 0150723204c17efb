"""Whether the station judges what its camera gives: /healthz, asked from inside the container."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

ADDRESS = "http://127.0.0.1:9464/healthz"


def main(address: str = ADDRESS) -> int:
    """0 where it answers 200; its answer goes to `docker inspect` either way."""
    try:
        with urllib.request.urlopen(address, timeout=4) as answer:  # noqa: S310 - our own address
            sys.stdout.write(answer.read(4096).decode(errors="replace"))
            return 0
    except urllib.error.HTTPError as error:
        sys.stdout.write(error.read(4096).decode(errors="replace"))
    except OSError as error:
        sys.stdout.write(f"{address} does not answer: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
