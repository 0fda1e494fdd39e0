"""`python -m varinv` is the command `varinv`."""

from collections.abc import Callable
from typing import Any

from varinv.interrupts import entry


def main() -> None:
    """The command; what takes long is imported when Ctrl-C is watched."""
    entry(_app)


def _app() -> Callable[[], Any]:
    from varinv.cli import app

    return app


if __name__ == "__main__":
    main()
