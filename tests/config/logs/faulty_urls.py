from __future__ import annotations

from collections.abc import AsyncIterator

from django.http import HttpRequest, StreamingHttpResponse
from django.urls import include, path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.models import User


class Row(APIView):
    """Uses a value from the request to violate a unique constraint."""

    permission_classes = ()

    def post(self, request: Request) -> Response:
        secret = request.data["secret"]
        User.objects.create(username=secret)
        try:
            User.objects.create(username=secret)
        except Exception as error:
            raise RuntimeError(f"{secret} is taken") from error
        return Response()


def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        raise ValueError(request.GET["secret"])

    return StreamingHttpResponse(parts())


urlpatterns = [
    path("faulty/row", Row.as_view()),
    path("faulty/stream", stream),
    path("", include("config.urls")),
]
handler500 = "config.views.server_error"
