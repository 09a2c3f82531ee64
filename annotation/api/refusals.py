"""Reasons for refusing a task or an answer. Programs and the user interface recognise each reason by its
`type`."""

from __future__ import annotations

from config.problems import Conflict


class LeaseLost(Conflict):
    type = "lease-lost"


class ProjectNotActive(Conflict):
    type = "project-not-active"

    def __init__(self, slug: str, state: str) -> None:
        super().__init__(f"The project {slug} is {state.lower()} and assigns no tasks.")


class ProjectArchived(Conflict):
    type = "project-archived"

    def __init__(self, slug: str) -> None:
        super().__init__(f"The project {slug} is archived and accepts no more answers.")


class AnnotatorPaused(Conflict):
    type = "annotator-paused"

    def __init__(self, reason: str) -> None:
        why = f" Reason: {reason}" if reason else ""
        super().__init__(
            f"Your participation in this project is paused, so you get no tasks.{why} A manager can end"
            " the pause."
        )


class AnnotatorExcluded(Conflict):
    type = "annotator-excluded"

    def __init__(self) -> None:
        super().__init__("You are excluded from this project and get no tasks. Ask a manager for the reason.")


class QualificationFailed(Conflict):
    type = "qualification-failed"

    def __init__(self, attempts: int) -> None:
        tries = "your only attempt" if attempts == 1 else f"any of your {attempts} attempts"
        super().__init__(
            f"You did not reach the project's pass mark in {tries}, so you can't rank in this project. "
            "A manager can grant another attempt."
        )


class CapReached(Conflict):
    type = "cap-reached"

    def __init__(self, cap: int) -> None:
        super().__init__(
            f"You have answered {cap} tasks, the most that one person can answer in this project. Thank you."
        )


class DailyCapReached(Conflict):
    type = "daily-cap-reached"

    def __init__(self, cap: int) -> None:
        super().__init__(
            f"You have answered {cap} tasks today, the most that one person can answer in a day. "
            "The next day begins at midnight UTC."
        )
