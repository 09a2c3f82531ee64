"""Rankloop's settings: one file, configured by environment variables.

DATABASE_URL and BROKER_URL specify external servers. If either variable is not set, the embedded Postgres or
Valkey in the state folder (RANKLOOP_STATE) is used. With RANKLOOP_ENV=production, Rankloop refuses to start
if a value is unsafe.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from config.database.limits import connection_options
from config.env import (
    BadEnvironment,
    env_limit,
    env_list,
    env_networks,
    env_positive,
    env_secret,
    env_secrets,
    env_str,
)
from config.logs.setup import env_log_level, logging_config
from config.oidc import providers_of_environment
from config.safety import unsafe
from embedded.stack import addresses, default_state

BASE_DIR = Path(__file__).resolve().parent.parent

ENVIRONMENT = env_str("RANKLOOP_ENV", "embedded")
if ENVIRONMENT not in {"embedded", "production"}:
    raise BadEnvironment(f"RANKLOOP_ENV={ENVIRONMENT!r} is invalid; use 'embedded' or 'production'.")
PRODUCTION = ENVIRONMENT == "production"
# The kind of this process. It determines the time limits of the process's database connections.
PROCESS = env_str("RANKLOOP_PROCESS", "command")
DEBUG = False

_state = default_state()
STATE = _state.path
ARTEFACTS = _state.artefacts
FRONTEND = BASE_DIR / "frontend" / "dist"

SECRET_KEY = env_secret("SECRET_KEY")
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS")
SECRET_KEY_FALLBACKS = env_secrets("SECRET_KEY_FALLBACKS")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
# The proxies whose X-Forwarded-For and X-Forwarded-Proto headers are trusted (config/requests/proxies.py).
TRUSTED_PROXIES = env_networks("RANKLOOP_TRUSTED_PROXIES")
# The private networks, such as 10.1.0.0/16, to which webhooks can be sent.
WEBHOOK_NETWORKS = env_networks("RANKLOOP_WEBHOOK_NETWORKS")
# The servers that a recipe can specify for generating answers (docs/generation-server.md).
GENERATION_SERVERS = env_list("RANKLOOP_GENERATION_SERVERS")
GENERATION_KEY = env_secret("RANKLOOP_GENERATION_KEY")
# The folder for adapters, shared by the workers and the generation servers (docs/generation-server.md).
GENERATION_ADAPTERS = env_str("RANKLOOP_GENERATION_ADAPTERS")
OIDC_PROVIDERS = providers_of_environment()
DATABASE_URL = env_secret("DATABASE_URL")
BROKER_URL = env_secret("BROKER_URL")
if PRODUCTION:
    if reasons := list(
        unsafe(
            secret_key=SECRET_KEY,
            allowed_hosts=ALLOWED_HOSTS,
            csrf_trusted_origins=CSRF_TRUSTED_ORIGINS,
            database_url=DATABASE_URL,
            broker_url=BROKER_URL,
            secret_key_fallbacks=SECRET_KEY_FALLBACKS,
            trusted_proxies=TRUSTED_PROXIES,
            webhook_networks=WEBHOOK_NETWORKS,
            oidc_providers=OIDC_PROVIDERS,
        )
    ):
        raise BadEnvironment(
            "With RANKLOOP_ENV=production, Rankloop refuses to start:\n- " + "\n- ".join(reasons)
        )
else:
    SECRET_KEY = SECRET_KEY or _state.secret_key()
    _embedded = addresses(_state)
    DATABASE_URL, BROKER_URL = DATABASE_URL or _embedded[0], BROKER_URL or _embedded[1]
# The local machine is always allowed, for health checks.
ALLOWED_HOSTS = [*ALLOWED_HOSTS, "localhost", "127.0.0.1", "[::1]"]


# By default, a pool keeps doubling the pause between connection attempts for five minutes. After a one-minute
# outage, a process could then be without the database for another minute.
_POOL = {"min_size": 1, "max_size": 16, "timeout": 10, "reconnect_timeout": 5}


def _database(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise BadEnvironment(f"DATABASE_URL must begin with postgresql://; it begins with {parts.scheme}://.")
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    return {
        "ENGINE": "annotation.database.engine",
        "NAME": unquote(parts.path.lstrip("/")) or "postgres",
        "USER": unquote(parts.username or "postgres"),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", "") or parts.hostname or "",
        "PORT": str(parts.port or ""),
        # Connections are pooled, because opening a connection takes longer than a claim. CONN_MAX_AGE is not
        # an alternative, because it leaks a connection per ASGI thread.
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            # If the network fails without a TCP reset, the connection ends after about a minute.
            **{"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3},
            "tcp_user_timeout": 60_000,
            **query,
            "options": f"{connection_options(PROCESS)} {query.get('options', '')}".strip(),
            # Each heavy request has its own process, so a pool would be useless.
            "pool": _POOL if PROCESS != "heavy" else False,
            "prepare_threshold": 5,  # used by annotation/database/prepared.py only
        },
    }


INSTALLED_APPS = [
    "annotation",
    "training",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "rest_framework",
    "drf_spectacular",
]
MIDDLEWARE = [
    "config.logs.middleware.RequestContext",
    "django.middleware.security.SecurityMiddleware",
    "config.requests.middleware.SecurityHeaders",
    "config.requests.middleware.StaticFiles",
    "config.requests.wellformed.wellformed_request",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "annotation.accounts.login.sessions.SessionUser",
    "allauth.account.middleware.AccountMiddleware",
    "annotation.accounts.login.devices.remember_device",
    "annotation.database.acting.RequestActor",
    "config.requests.before_body.BeforeBody",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES: list[dict[str, object]] = []

DATABASES = {"default": _database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "annotation.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "annotation.accounts.password_changes.PasswordChanges"},
]

# The maximum lifetime that users can choose for API tokens (docs/accounts.md). None: tokens without an expiry
# date are allowed too.
TOKEN_MAX_DAYS = env_limit("RANKLOOP_TOKEN_MAX_DAYS", 365)

# Login (annotation/accounts/login) uses allauth's components behind our own API. Allauth's pages and emails
# are not used.
HEADLESS_ONLY = True
ACCOUNT_ADAPTER = "annotation.accounts.login.adapters.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
MFA_ADAPTER = "annotation.accounts.login.adapters.MFAAdapter"
MFA_TOTP_ISSUER = "Rankloop"
MFA_TOTP_TOLERANCE = 1
SOCIALACCOUNT_ADAPTER = "annotation.accounts.login.adapters.SocialAccountAdapter"
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [each.for_allauth() for each in OIDC_PROVIDERS]}}

# The cache is in the database, so that login attempts are counted across all web processes. The default
# maximum of 300 rows is too low. When the maximum is exceeded, Django deletes a third of the rows. With the
# default maximum, 149 failed logins were enough to delete the row that counts a user's wrong codes. Further
# codes could then be tried for this user.
CACHES = {
    "default": {
        "BACKEND": "config.database.cache.DatabaseCache",
        "LOCATION": "rankloop_cache",
        "OPTIONS": {"MAX_ENTRIES": 1_000_000},
    },
    # Computed reports (annotation/oversight/report_cache.py), each up to a few megabytes.
    "reports": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": STATE / "cache" / "reports",
        "TIMEOUT": 7 * 24 * 3600,
        "OPTIONS": {"MAX_ENTRIES": 300},
    },
}

# Converted exports (annotation/datasets/export_cache.py).
EXPORT_CACHE = STATE / "cache" / "exports"
EXPORT_CACHE_BYTES = env_positive("RANKLOOP_EXPORT_CACHE_BYTES", 2 * 2**30)

# Logs and error reports (docs/logs.md). `configure` also starts Sentry.
LOGGING = logging_config(level=env_log_level("RANKLOOP_LOG_LEVEL"))
LOGGING_CONFIG = "config.logs.setup.configure"
SENTRY_DSN = env_secret("SENTRY_DSN")
SENTRY_ENVIRONMENT = env_str("SENTRY_ENVIRONMENT") or ENVIRONMENT
SENTRY_RELEASE = env_str("SENTRY_RELEASE") or "rankloop"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
STATIC_URL = "/static/"
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 2**20
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 2**20

# The token with which managers import private datasets from the Hub over HTTP (docs/importing.md).
HUB_TOKEN = env_secret("RANKLOOP_HUB_TOKEN")
# The limits of one import (docs/importing.md).
IMPORT_MAX_BYTES = env_positive("RANKLOOP_IMPORT_MAX_BYTES", 2**30)
IMPORT_MAX_EXPANDED_BYTES = env_positive("RANKLOOP_IMPORT_MAX_EXPANDED_BYTES", 64 * 2**30)
IMPORT_MAX_ROW_BYTES = env_positive("RANKLOOP_IMPORT_MAX_ROW_BYTES", 8 * 2**20)
IMPORT_MAX_ROWS = env_positive("RANKLOOP_IMPORT_MAX_ROWS", 20_000_000)
IMPORT_MAX_SECONDS = env_positive("RANKLOOP_IMPORT_MAX_SECONDS", 12 * 3600)
# After its worker is asked to stop, a training process gets this time to end its step and write a checkpoint.
# The worker's own supervisor must wait a little longer (embedded/supervisor.py; in Docker,
# `stop_grace_period`).
TRAINING_STOP_SECONDS = env_positive("RANKLOOP_TRAINING_STOP_SECONDS", 12)
# With less free space for artefacts, `/readyz` reports that the server is not ready (docs/storage.md).
MIN_FREE_BYTES = env_positive("RANKLOOP_MIN_FREE_BYTES", 2**30)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "annotation.accounts.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["annotation.api.endpoint.ByTheTable"],
    # With a metadata class, an OPTIONS request would describe an endpoint to anybody. Endpoints are described
    # in the OpenAPI schema instead.
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "annotation.api.parsers.TextJSONParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    # config/requests/proxies.py has already replaced a trusted proxy's address with the client's. DRF must
    # not read forwarding headers, because anybody can forge them.
    "NUM_PROXIES": 0,
    # By default, DRF reads the parameter `format` of each URL and responds to an unknown format with 404.
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_SCHEMA_CLASS": "annotation.api.schema.Schema",
    "EXCEPTION_HANDLER": "config.problems.problem_response",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Rankloop",
    "DESCRIPTION": "Human preference annotation that closes the loop.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "annotation.api.schema.add_problems",
    ],
    "ENUM_NAME_OVERRIDES": {
        "ProjectState": "annotation.models.Project.State",
        "MembershipState": "annotation.models.Membership.State",
        "AllocationPolicy": "annotation.models.Project.AllocationPolicy",
        "Role": "annotation.models.project.Role",
        "SkipWay": "annotation.models.project.SkipWay",
        "TaskKind": "annotation.models.RankingTask.Kind",
        "RankingKind": "annotation.models.Ranking.Kind",
        "TaskProblemKind": "annotation.models.TaskProblem.Kind",
        "TaskState": "annotation.models.RankingTask.State",
        "SettableTaskState": "annotation.content.task_changes.SETTABLE_STATES",
        "WebhookState": "annotation.models.WebhookEndpoint.State",
        "WebhookDeliveryState": "annotation.models.WebhookDelivery.State",
        "WebhookEvent": "annotation.models.webhook.WebhookEvent",
        "DeliveredEvent": "annotation.models.webhook.DELIVERED_EVENTS",
        "InvitationState": "annotation.models.Invitation.State",
        "PresetName": "annotation.forms.serializers.PRESET_NAMES",
        "CheckKind": "annotation.oversight.api.task_serializers.KINDS",
        "RunKind": "training.models.TrainingRun.Kind",
        # Training runs and imports have the same states.
        "JobState": "training.models.TrainingRun.State",
        "ModelKind": "training.models.ModelVersion.Kind",
        "ModelStage": "training.models.ModelVersion.Stage",
        "GateState": "training.models.Gate.State",
        "RoundState": "training.models.Round.State",
        "RoundStepState": "training.models.RoundStep.State",
        "RoundStepKind": "training.models.RoundStep.Kind",
    },
}

CELERY_BROKER_URL = BROKER_URL
# Celery's results are not needed, because every job is recorded in the database. A worker prefetches only
# one message, so a long run does not delay other messages.
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "training.tasks.execute_run": {"queue": "training"},
    "annotation.tasks.execute_import": {"queue": "imports"},
}
# These values determine when a killed worker's message is delivered again. With kombu's defaults, redelivery
# took 94 s; with these values, redelivery takes a few seconds. A message only wakes a worker. A message
# that is delivered a second time has no effect, because the run has already been claimed.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 6 * 3600,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    # Without these limits, a hung broker would block the threads that send to it.
    "socket_connect_timeout": 2.0,
    "socket_timeout": 5.0,
    "socket_keepalive": True,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Retry forever. By default, a worker would end after 100 failed attempts to connect, and the run that it
# supervises would end with it.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BEAT_SCHEDULE: dict[str, dict[str, object]] = {
    "expire-leases": {"task": "annotation.tasks.expire_leases", "schedule": 15.0},
    # A wake-up message expires if it is not handled in time, because the next message has the same effect.
    "deliver-webhooks": {
        "task": "annotation.tasks.deliver_webhooks",
        "schedule": 5.0,
        "options": {"expires": 10},
    },
    "forget-webhook-deliveries": {
        "task": "annotation.tasks.forget_webhook_deliveries",
        "schedule": 6 * 3600.0,
    },
    "refresh-agreement": {"task": "annotation.tasks.refresh_agreement", "schedule": 30.0},
    "sweep-imports": {"task": "annotation.tasks.sweep_imports", "schedule": 15.0},
    "sweep-orphaned-runs": {"task": "training.tasks.sweep_orphaned_runs", "schedule": 15.0},
    "turn-loops": {"task": "training.tasks.turn_loops", "schedule": 5.0, "options": {"expires": 10}},
}

# Webhooks can cross the public internet, so production allows only https.
WEBHOOK_HTTPS_ONLY = PRODUCTION

# Seconds. After a change of SECRET_KEY, pending links stay valid only while SECRET_KEY_FALLBACKS contains the
# old key.
PASSWORD_RESET_TIMEOUT = 24 * 3600
SESSION_ENGINE = "annotation.accounts.login.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if PRODUCTION else 0
