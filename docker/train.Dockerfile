# Training and export on NVIDIA GPUs: any command of tmkd-pipeline, in the mounted folder.
#
#   docker build --file docker/train.Dockerfile --tag tmkd-pipeline:train .
#   docker run --rm --init --gpus all --shm-size 8g --user "$(id -u):$(id -g)" --volume "$PWD:/workspace" \
#       tmkd-pipeline:train run my_photos.yaml
#   docker run --rm --init --gpus all --shm-size 8g --entrypoint make tmkd-pipeline:train -C /app gpu-check
#
# The base brings what the driver needs to know of CUDA 13; PyTorch and TensorRT bring their own libraries.

FROM nvidia/cuda:13.2.1-base-ubuntu24.04
# Pinned packages would vanish from Ubuntu's archive with their next update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG UV_DEFAULT_INDEX
ARG SSL_CERT_FILE
WORKDIR /app

# As `make install EXTRA=gpu` does, but the packages before the source: PyTorch is installed when the lock changes.
# Two packages are not in the lock and are pinned here.
COPY pyproject.toml requirements.lock ./
RUN --mount=type=secret,id=ca \
    python3 -m venv .venv \
    && .venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check uv==0.13.9 \
    && .venv/bin/uv pip install --python .venv/bin/python --no-cache --compile-bytecode \
        --constraint requirements.lock --requirement pyproject.toml --extra gpu --extra dev \
        onnxruntime-gpu==1.31.1 tensorrt==11.4.0.106
COPY . .
# Folders that any --user may write to: weights and drawn data, runs of `make gpu-check`, and where volumes are mounted.
RUN --mount=type=secret,id=ca \
    .venv/bin/uv pip install --python .venv/bin/python --no-cache --no-deps --editable . \
    && touch .venv/.installed-gpu \
    && install --directory --mode=1777 /cache /workspace runs

ENV PATH=/app/.venv/bin:$PATH \
    EXTRA=gpu \
    HOME=/cache \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /workspace
ENTRYPOINT ["tmkd-pipeline"]
CMD ["--help"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tmkd-pipeline train" \
      org.opencontainers.image.description="Distillation, export and TensorRT engines with tmkd-pipeline on NVIDIA GPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/nvidia/cuda:13.2.1-base-ubuntu24.04" \
      org.opencontainers.image.revision="$REVISION"
