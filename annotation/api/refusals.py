"""Why somebody is given no task, or an answer is not taken: each has a type, for programs and the page."""

from __future__ import annotations

from config.problems import Conflict


class LeaseLost(Conflict):
    type = "lease-lost"


class ProjectNotActive(Conflict):
    type = "project-not-active"

    def __init__(self, slug: str, state: str) -> None:
        super().__init__(f"The project {slug} is {state.lower()}: it gives out no tasks.")


class ProjectArchived(Conflict):
    type = "project-archived"

    def __init__(self, slug: str) -> None:
        super().__init__(f"The project {slug} is archived: it takes no more answers.")


class AnnotatorPaused(Conflict):
    type = "annotator-paused"

    def __init__(self, reason: str) -> None:
        why = f" The reason given: {reason}" if reason else ""
        super().__init__(
            f"You are paused in this project and are given no tasks.{why} A manager can let you go on."
        )


class AnnotatorExcluded(Conflict):
    type = "annotator-excluded"

    def __init__(self) -> None:
        super().__init__("You are excluded from this project and are given no tasks. Ask a manager why.")


class QualificationFailed(Conflict):
    type = "qualification-failed"

    def __init__(self, attempts: int) -> None:
        tries = "the attempt" if attempts == 1 else f"all {attempts} attempts"
        super().__init__(
            f"You did not reach the project's pass mark in {tries} to qualify, so you may not rank here. "
            "A manager can grant another attempt."
        )


class CapReached(Conflict):
    type = "cap-reached"

    def __init__(self, cap: int) -> None:
        super().__init__(
            f"You have answered as many tasks as one person may in this project: {cap}. Thank you."
        )


class DailyCapReached(Conflict):
    type = "daily-cap-reached"

    def __init__(self, cap: int) -> None:
        super().__init__(
            f"You have answered as many tasks as one person may on one day: {cap}. "
            "The next day begins at midnight UTC."
        )
