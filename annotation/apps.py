from django.apps import AppConfig


class AnnotationConfig(AppConfig):
    name = "annotation"

    def ready(self) -> None:
        from django.db.backends.signals import connection_created

        from annotation.database.acting import watch_connection

        connection_created.connect(watch_connection, dispatch_uid="annotation.database.acting")
