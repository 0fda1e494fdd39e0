"""The options that say how a scan is read: written once for every command that reads one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from varinv import cli_options as o


def _options(
    scan: o.ScanPath,
    kind: o.KindName = None,
    angles: o.Angles = None,
    flats: o.Flats = None,
    darks: o.Darks = None,
    axis: o.Axis = None,
    pitch: o.Pitch = None,
    distances: o.Distances = None,
    dataset: o.Dataset = None,
    angles_dataset: o.AnglesDataset = None,
    links: o.LinksTo = None,
) -> None:
    """What a command that reads a scan may be told about it."""


class Source(NamedTuple):
    """A scan as a command names it, and what it says of it."""

    scan: Path
    given: dict[str, Any]

    @property
    def files(self) -> tuple[Any, ...]:
        """What is read, and must not be written over."""
        return (self.scan, *(self.given[name] for name in ("angles", "flats", "darks")))

    def opened(self) -> Any:
        """The scan."""
        named = {"pixel_size" if name == "pitch" else name: value for name, value in self.given.items()}
        return o.opened(self.scan, **named)


def reads(command: Callable[..., None]) -> Callable[..., None]:
    """The same command with the options of reading in the place of its parameter `source`."""
    first, *reading = inspect.signature(_options, eval_str=True).parameters.values()
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "source"]
    needed = [p for p in own if p.default is p.empty]
    every = [first, *needed, *reading, *(p for p in own if p not in needed)]

    def run(**values: Any) -> None:
        given = {p.name: values.pop(p.name) for p in reading}
        command(source=Source(values.pop(first.name), given), **values)

    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__signature__ = inspect.Signature([p.replace(kind=p.KEYWORD_ONLY) for p in every])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in every}
    return run
