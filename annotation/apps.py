from django.apps import AppConfig


class AnnotationConfig(AppConfig):
    name = "annotation"

    def ready(self) -> None:
        from django.conf import settings
        from django.db.backends.signals import connection_created

        from annotation.database.acting import watch_connection
        from preferences.formats.containers import limits

        connection_created.connect(watch_connection, dispatch_uid="annotation.database.acting")
        limits.MAX_ROW_BYTES = settings.IMPORT_MAX_ROW_BYTES
        limits.MAX_EXPANDED_BYTES = settings.IMPORT_MAX_EXPANDED_BYTES
