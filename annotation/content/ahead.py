"""Work ahead: the next item is made in a thread while the one before is being used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
POLL_SECONDS = 0.1


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[Item], held: int = 1) -> Generator[Item, None, None]:
    """`items` in their order, at most `held` of them finished and waiting.

    Reading and hashing a file holds the interpreter, waiting for the database does not: side by side they
    take as long as the slower of the two. What making an item raises is raised here. When the caller stops
    early, the thread ends before this generator is closed, so a file it reads can be closed after it.
    """
    made: queue.Queue[Item | _End] = queue.Queue(maxsize=held)
    stopped = threading.Event()

    def put(item: Item | _End) -> bool:
        while not stopped.is_set():
            try:
                made.put(item, timeout=POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        end = _End()
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as error:
            end = _End(error)
        put(end)

    maker = threading.Thread(target=make, name="ahead", daemon=True)
    maker.start()
    try:
        while True:
            item = made.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        maker.join()
