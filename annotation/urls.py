"""The API's URLs and the action that each method requires. This is the access table (see
`annotation.api.endpoint`)."""

from __future__ import annotations

from annotation.accounts.api import account, auth, invitations, members
from annotation.api.endpoint import endpoint
from annotation.api.permissions import Action
from annotation.content.api import imports
from annotation.datasets.api import exports, formats, snapshots
from annotation.desk.api import assignments, own_work, reservations, task_problems
from annotation.oversight.api import audit, browsing, exclusions, reports, reviews, tasks
from annotation.projects.api import projects
from annotation.webhooks.api import views

PROJECT = "projects/<slug:slug>/"
ASSIGNMENT = "assignments/<uuid:id>/"

urlpatterns = [
    endpoint("auth/login", auth.LoginView, POST=Action.LOG_IN),
    endpoint("auth/login/code", auth.LoginCodeView, POST=Action.LOG_IN),
    endpoint("auth/reset", auth.ResetPasswordView, POST=Action.LOG_IN),
    endpoint("auth/providers", auth.ProvidersView, GET=Action.LOG_IN),
    endpoint("auth/oidc/begin", auth.OidcBeginView, POST=Action.LOG_IN),
    endpoint("auth/oidc/<slug:provider>/callback", auth.OidcCallbackView, GET=Action.LOG_IN),
    endpoint("auth/logout", auth.LogoutView, POST=Action.OWN_ACCOUNT),
    endpoint("auth/logout/everywhere", auth.LogoutEverywhereView, POST=Action.OWN_ACCOUNT),
    endpoint("auth/me", auth.MeView, GET=Action.WHO_AM_I),
    endpoint("auth/invitation", invitations.LookView, POST=Action.LOG_IN),
    endpoint("auth/invitation/accept", invitations.EnterView, POST=Action.LOG_IN),
    endpoint("account/", account.AccountView, GET=Action.OWN_ACCOUNT),
    endpoint("account/join", invitations.JoinView, POST=Action.OWN_ACCOUNT),
    endpoint("account/password", account.PasswordView, POST=Action.OWN_ACCOUNT),
    endpoint("account/second-factor", account.SecondFactorView, POST=Action.OWN_ACCOUNT),
    endpoint("account/second-factor/confirm", account.ConfirmSecondFactorView, POST=Action.OWN_ACCOUNT),
    endpoint("account/second-factor/disable", account.DisableSecondFactorView, POST=Action.OWN_ACCOUNT),
    endpoint("account/recovery-codes", account.RecoveryCodesView, POST=Action.OWN_ACCOUNT),
    endpoint("account/tokens/", account.TokensView, GET=Action.OWN_ACCOUNT, POST=Action.OWN_ACCOUNT),
    endpoint("account/tokens/<uuid:id>", account.TokenView, DELETE=Action.OWN_TOKEN),
    endpoint("projects/", projects.ProjectsView, GET=Action.LIST_PROJECTS, POST=Action.CREATE_PROJECT),
    endpoint(PROJECT, projects.ProjectDetailView, GET=Action.READ_PROJECT, PATCH=Action.CHANGE_PROJECT),
    endpoint(
        f"{PROJECT}members/", members.MembersView, GET=Action.MANAGE_MEMBERS, POST=Action.MANAGE_MEMBERS
    ),
    endpoint(
        f"{PROJECT}invitations/",
        invitations.InvitationsView,
        GET=Action.MANAGE_MEMBERS,
        POST=Action.MANAGE_MEMBERS,
    ),
    endpoint("invitations/<uuid:id>/revoke", invitations.RevokeInvitationView, POST=Action.MANAGE_MEMBERS),
    endpoint(f"{PROJECT}form/check", projects.FormCheckView, POST=Action.CHANGE_PROJECT),
    endpoint(f"{PROJECT}checks/", tasks.ChecksView, GET=Action.MANAGE_TASKS),
    endpoint(f"{PROJECT}members/<str:username>/attempts", members.AttemptsView, POST=Action.MANAGE_MEMBERS),
    endpoint(f"{PROJECT}tasks/", tasks.TasksView, GET=Action.MANAGE_TASKS),
    endpoint(
        f"{PROJECT}tasks/<uuid:id>/", tasks.TaskView, GET=Action.MANAGE_TASKS, PATCH=Action.MANAGE_TASKS
    ),
    endpoint(f"{PROJECT}tasks/<uuid:id>/rankings/", browsing.TaskRankingsView, GET=Action.MANAGE_TASKS),
    endpoint(f"{PROJECT}rankings/", browsing.RankingsView, GET=Action.MANAGE_TASKS),
    endpoint(
        f"{PROJECT}reservations/",
        reservations.ReservationsView,
        GET=Action.MANAGE_TASKS,
        POST=Action.MANAGE_TASKS,
    ),
    endpoint(f"{PROJECT}reservations/release", reservations.LetGoView, POST=Action.MANAGE_TASKS),
    endpoint(f"{PROJECT}problems/", task_problems.TaskProblemsView, GET=Action.MANAGE_TASKS),
    endpoint("problems/<uuid:id>/settle", task_problems.SettleProblemView, POST=Action.MANAGE_TASKS),
    endpoint("problems/<uuid:id>/reopen", task_problems.ReopenProblemView, POST=Action.MANAGE_TASKS),
    endpoint(f"{PROJECT}progress/", reports.ProgressView, GET=Action.READ_QUALITY),
    endpoint(f"{PROJECT}quality/", reports.QualityView, GET=Action.READ_QUALITY),
    endpoint(f"{PROJECT}leaderboard/", reports.LeaderboardView, GET=Action.READ_QUALITY),
    endpoint(f"{PROJECT}imports/", imports.ImportsView, GET=Action.IMPORT, POST=Action.IMPORT),
    endpoint(f"{PROJECT}imports/preview", imports.ImportPreviewView, POST=Action.IMPORT),
    endpoint(f"{PROJECT}imports/hub", imports.HubImportView, POST=Action.IMPORT),
    endpoint("imports/<uuid:id>/", imports.ImportView, GET=Action.IMPORT),
    endpoint("imports/<uuid:id>/cancel", imports.CancelImportView, POST=Action.IMPORT),
    endpoint(
        f"{PROJECT}snapshots/",
        snapshots.SnapshotsView,
        GET=Action.MANAGE_SNAPSHOTS,
        POST=Action.MANAGE_SNAPSHOTS,
    ),
    endpoint(f"{PROJECT}exclusions/", exclusions.ExclusionsView, GET=Action.EXCLUDE, POST=Action.EXCLUDE),
    endpoint(f"{PROJECT}exclusions/preview", exclusions.PreviewView, POST=Action.EXCLUDE),
    endpoint("exclusions/<uuid:id>/lift/preview", exclusions.LiftPreviewView, GET=Action.EXCLUDE),
    endpoint("exclusions/<uuid:id>/lift", exclusions.LiftView, POST=Action.EXCLUDE),
    endpoint(f"{PROJECT}reviews/", reviews.QueueView, GET=Action.REVIEW),
    endpoint(f"{PROJECT}reviews/next", reviews.NextView, POST=Action.REVIEW),
    endpoint("reviews/<uuid:id>/open", reviews.OpenView, POST=Action.REVIEW),
    endpoint("reviews/<uuid:id>/heartbeat", reviews.HeartbeatView, POST=Action.REVIEW),
    endpoint("reviews/<uuid:id>/release", reviews.ReleaseView, POST=Action.REVIEW),
    endpoint("reviews/<uuid:id>/decide", reviews.DecideView, POST=Action.REVIEW),
    endpoint(
        f"{PROJECT}webhooks/",
        views.WebhooksView,
        GET=Action.MANAGE_WEBHOOKS,
        POST=Action.MANAGE_WEBHOOKS,
    ),
    endpoint("webhooks/<uuid:id>/", views.WebhookView, PATCH=Action.MANAGE_WEBHOOKS),
    endpoint("webhooks/<uuid:id>/test", views.TestView, POST=Action.MANAGE_WEBHOOKS),
    endpoint("webhooks/<uuid:id>/rotate", views.RotateView, POST=Action.MANAGE_WEBHOOKS),
    endpoint("webhooks/<uuid:id>/deliveries/", views.DeliveriesView, GET=Action.MANAGE_WEBHOOKS),
    endpoint("webhook-deliveries/<uuid:id>/replay", views.ReplayView, POST=Action.MANAGE_WEBHOOKS),
    endpoint(f"{PROJECT}audit/", audit.ProjectAuditView, GET=Action.READ_AUDIT),
    endpoint("audit/", audit.SiteAuditView, GET=Action.READ_SITE_AUDIT),
    endpoint("presets/", projects.PresetsView, GET=Action.LIST_PRESETS),
    endpoint("formats/", formats.FormatsView, GET=Action.LIST_FORMATS),
    endpoint("snapshots/<uuid:id>/export", exports.ExportView, GET=Action.MANAGE_SNAPSHOTS),
    endpoint(f"{PROJECT}assignments/next", assignments.NextAssignmentView, POST=Action.RANK),
    endpoint(f"{PROJECT}assignments/mine", own_work.OwnFiguresView, GET=Action.RANK),
    endpoint(f"{PROJECT}assignments/last", own_work.LastAnswerView, GET=Action.RANK),
    endpoint(f"{ASSIGNMENT}draft", assignments.DraftView, PUT=Action.OWN_ASSIGNMENT),
    endpoint(f"{ASSIGNMENT}heartbeat", assignments.HeartbeatView, POST=Action.OWN_ASSIGNMENT),
    endpoint(f"{ASSIGNMENT}skip", assignments.SkipView, POST=Action.OWN_ASSIGNMENT),
    endpoint(f"{ASSIGNMENT}release", assignments.ReleaseView, POST=Action.OWN_ASSIGNMENT),
    endpoint(f"{ASSIGNMENT}submit", assignments.SubmitView, POST=Action.OWN_ASSIGNMENT),
    endpoint(f"{ASSIGNMENT}revise", assignments.ReviseView, POST=Action.OWN_ASSIGNMENT),
    endpoint(f"{ASSIGNMENT}feedback", own_work.FeedbackView, GET=Action.OWN_ASSIGNMENT),
    endpoint(f"{ASSIGNMENT}problems", task_problems.ReportProblemView, POST=Action.OWN_ASSIGNMENT),
]
