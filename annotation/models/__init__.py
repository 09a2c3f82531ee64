from annotation.models.agreement import TaskAgreement
from annotation.models.audit import AuditEntry
from annotation.models.content import Prompt, Response
from annotation.models.exclusion import Exclusion
from annotation.models.form import FormVersion
from annotation.models.imports import Import
from annotation.models.invitation import Invitation
from annotation.models.people import AccountEvent, ApiToken, User
from annotation.models.project import Desk, Membership, Project
from annotation.models.ranking import Comparison, Ranking
from annotation.models.site_key import SiteKey
from annotation.models.snapshot import DatasetSnapshot
from annotation.models.sweep import Sweep
from annotation.models.task import Assignment, RankingTask, Reservation, TaskResponse
from annotation.models.task_problem import TaskProblem
from annotation.models.webhook import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "AccountEvent",
    "ApiToken",
    "Assignment",
    "AuditEntry",
    "Comparison",
    "DatasetSnapshot",
    "Desk",
    "Exclusion",
    "FormVersion",
    "Import",
    "Invitation",
    "Membership",
    "Project",
    "Prompt",
    "Ranking",
    "RankingTask",
    "Reservation",
    "Response",
    "SiteKey",
    "Sweep",
    "TaskAgreement",
    "TaskProblem",
    "TaskResponse",
    "User",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
