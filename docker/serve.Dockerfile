# The service: one bundle behind HTTP, with ONNX Runtime alone. No torch, no compiler, no shell script, no root.
#
#   docker build --file docker/serve.Dockerfile --tag tmkd-pipeline:serve .
#   docker run --rm --read-only --publish 127.0.0.1:8000:8000 \
#       --volume "$PWD/runs/quickstart/bundle:/bundle:ro" tmkd-pipeline:serve

# What the extra `serve` depends on. It changes with the lock, not with the source.
FROM python:3.11.15-slim-bookworm AS dependencies
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG UV_DEFAULT_INDEX
ARG SSL_CERT_FILE
ENV UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_PYTHON=/venv/bin/python
WORKDIR /source
RUN --mount=type=secret,id=ca \
    python -m venv /tools \
    && /tools/bin/pip install --quiet --no-cache-dir --disable-pip-version-check uv==0.13.9 hatchling==1.33.0 \
    && python -m venv --without-pip /venv
COPY pyproject.toml requirements.lock ./
RUN --mount=type=secret,id=ca \
    /tools/bin/uv pip install --constraint requirements.lock --requirement pyproject.toml --extra serve

# The project itself, in a folder of its own, so that a change of the source ships as a small layer.
FROM dependencies AS project
COPY LICENSE README.md ./
COPY configs configs
COPY exporters exporters
COPY pipeline pipeline
RUN /tools/bin/hatchling build --target wheel --directory /dist \
    && /tools/bin/uv pip install --no-deps --prefix /project /dist/*.whl

FROM python:3.11.15-slim-bookworm
COPY --from=dependencies /venv /venv
COPY --from=project /project /venv
ENV PATH=/venv/bin:$PATH \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["tmkd-pipeline"]
CMD ["serve", "/bundle", "--host", "0.0.0.0", "--port", "8000"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tmkd-pipeline serve" \
      org.opencontainers.image.description="HTTP inference for one bundle of tmkd-pipeline" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11.15-slim-bookworm" \
      org.opencontainers.image.revision="$REVISION"
