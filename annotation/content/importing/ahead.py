"""Produces the next item in a thread while the caller uses the current item."""

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
    """Yields `items` in order, with at most `held` finished items waiting.

    Reading and hashing a file holds the interpreter lock; waiting for the database releases it. The thread
    and the caller can therefore work at the same time, and the total time is that of the slower one. An
    exception raised while producing an item is raised again in the caller. If the caller stops early, closing
    this generator waits until the thread has ended. The caller can then close the file that the thread was
    reading.
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
