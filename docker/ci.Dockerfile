# What must hold for every change, on a machine with nothing but a container engine: lint, tests, quickstart.
#
#   docker build --file docker/ci.Dockerfile --tag tmkd-pipeline:ci .
#   docker run --rm tmkd-pipeline:ci                                          # .ci/run; exit 0 or the change is not good
#   docker run --rm tmkd-pipeline:ci tmkd-pipeline run recipes/quickstart.yaml   # any command, with its exit code

FROM python:3.11.15-slim-bookworm
# A pinned make would vanish from Debian's archive with its next update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home tmkd \
    && install --directory --owner=tmkd --group=tmkd /app
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG UV_DEFAULT_INDEX
ARG SSL_CERT_FILE
WORKDIR /app

# As `make install` does, but the packages before the source: PyTorch is installed when the lock changes.
COPY requirements.lock ./
RUN --mount=type=secret,id=ca \
    python -m venv .venv \
    && .venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check uv==0.13.9 \
    && .venv/bin/uv pip sync --python .venv/bin/python --no-cache --compile-bytecode requirements.lock
COPY --chown=10001:10001 . .
RUN --mount=type=secret,id=ca \
    .venv/bin/uv pip install --python .venv/bin/python --no-cache --no-deps --editable . \
    && touch .venv/.installed-cpu

ENV PATH=/app/.venv/bin:$PATH \
    CI=1 \
    EXTRA=cpu \
    ORT_DISABLE_TELEMETRY=1
USER 10001:10001
CMD [".ci/run"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tmkd-pipeline CI" \
      org.opencontainers.image.description="Lint, tests and quickstart of tmkd-pipeline on the CPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11.15-slim-bookworm" \
      org.opencontainers.image.revision="$REVISION"
