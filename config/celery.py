"""The Celery queue. A message only wakes a worker. The work itself is recorded in the database (see CELERY_*
in config/settings.py)."""

import os

from celery import Celery

from config.logs import tasks as log_tasks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("rankloop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
log_tasks.connect()
