# The image of mistral-api. Targets: runtime (the default), dev (for skaffold), cuda.
#   docker build -t mistral-api .          compiles llama.cpp: some ten minutes on two cores
#   make image WHEEL=build/llama/*.whl     takes a wheel that scripts/build_llama.py left there instead (any Linux with this machine's glibc or a newer one)
# BASE is any Debian or Ubuntu with Python 3.11 or newer and its venv module.
ARG BASE=python:3.13-slim-trixie
ARG CUDA_BASE=nvidia/cuda:13.0.2-devel-ubuntu24.04

# --- tools: a pip of our own, because not every base has one on the PATH
FROM ${BASE} AS tools
ARG SOURCE_DATE_EPOCH
ENV PIP_ROOT_USER_ACTION=ignore PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /tools
COPY requirements /source/requirements

# --- wheel: llama-cpp-python, compiled here or given
FROM tools AS wheel
# Without a wheel this copies a file that is there anyway: an optional COPY that every builder understands.
ARG WHEEL=requirements/llama.txt
COPY ${WHEEL} /wheels/
COPY scripts/build_llama.py /source/scripts/
COPY scripts/llama /source/scripts/llama
RUN ls /wheels/*.whl 2>/dev/null || { \
      apt-get update -qq && apt-get install -y -qq --no-install-recommends g++ git && rm -rf /var/lib/apt/lists/* && \
      MISTRAL_API_CACHE=/cache /tools/bin/python /source/scripts/build_llama.py /wheels && rm -rf /cache; }

# --- build: everything but the service's own code, in one virtual environment without pip
FROM wheel AS build
RUN python3 -m venv --without-pip /opt/mistral-api && \
    install="/tools/bin/pip --python /opt/mistral-api/bin/python install --quiet --no-deps --no-compile" && \
    $install --require-hashes --requirement /source/requirements/runtime.txt && \
    $install --no-index /wheels/*.whl
# Tests, type stubs and headers of others are never imported. The service's own code is not here but in /app, so a change of it is a
# layer of a few hundred kilobytes. Bytecode goes by hash: by time it would be another one in each build, and stale where a builder sets files' times.
RUN cd /opt/mistral-api/lib/python3*/site-packages && echo /app >mistral-api.pth && \
    printf '#!/opt/mistral-api/bin/python\nfrom service.__main__ import main\n\nmain()\n' >/opt/mistral-api/bin/mistral-api && \
    chmod 755 /opt/mistral-api/bin/mistral-api && \
    find numpy -type d -name tests -prune -exec rm -rf {} + && \
    find . -name '*.pyi' -delete && rm -rf numpy/f2py numpy/_core/include numpy/_core/lib llama_cpp/include && \
    /opt/mistral-api/bin/python -m compileall -q --invalidation-mode unchecked-hash .

FROM build AS code
COPY LICENSE /app/
COPY service /app/service
RUN /opt/mistral-api/bin/python -m compileall -q --invalidation-mode checked-hash /app/service

# --- the CUDA backend: one more library beside those of the CPUs. The compiler's image is large, and none of it is kept.
FROM ${CUDA_BASE} AS cuda-library
ARG CUDA_ARCHITECTURES="75-virtual;80-virtual;86-real;89-real;90-real;100-real;120-real"
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv g++ git && rm -rf /var/lib/apt/lists/* && \
    python3 -m venv /tools
COPY requirements /source/requirements
COPY scripts/build_llama.py /source/scripts/
COPY scripts/llama /source/scripts/llama
# NCCL would be one more library to carry, for models that are split over several GPUs.
RUN CMAKE_ARGS="-DGGML_CUDA=ON -DGGML_CUDA_NCCL=OFF -DCMAKE_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES}" \
      /tools/bin/python /source/scripts/build_llama.py /wheels && \
    python3 -m zipfile -e /wheels/*.whl /unpacked && mkdir /cuda && \
    cp /unpacked/llama_cpp/lib/libggml-cuda.so /cuda/ && \
    cp -L /usr/local/cuda/lib64/libcudart.so.[0-9][0-9] /usr/local/cuda/lib64/libcublas.so.[0-9][0-9] \
      /usr/local/cuda/lib64/libcublasLt.so.[0-9][0-9] /cuda/

# --- the default model, for dev
FROM tools AS model
COPY scripts/fetch_models.py /source/scripts/
RUN /tools/bin/python /source/scripts/fetch_models.py default --into /models

# --- base: what runs, and nothing else
FROM ${BASE} AS base
ARG SOURCE_DATE_EPOCH
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mistral-api" \
      org.opencontainers.image.description="Serves a GGUF model over llama-server's and OpenAI's HTTP API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# OpenMP's library is all that llama.cpp needs beside what Python's image has.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libgomp1 >/dev/null && \
    rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/ldconfig/aux-cache /var/cache/apt/*.bin
COPY --from=build /opt/mistral-api /opt/mistral-api
COPY --from=code /app /app
# A root that cannot be written is no obstacle: nothing is written outside /tmp, and nothing needs to be.
ENV PATH=/opt/mistral-api/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LLAMA_ARG_HOST=0.0.0.0
WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 CMD ["mistral-api", "health"]
ENTRYPOINT ["mistral-api"]

# --- dev: the code can be written over, and the service starts again when it is; the default model is inside
FROM base AS dev
COPY --from=model /models /models
COPY scripts/reload.py /app/
# Files are replaced by unpacking an archive: that takes folders that can be written.
USER 0
RUN chown -R 10001:10001 /app
USER 10001:10001
ENV LLAMA_ARG_MODEL=/models/SmolLM2-135M-Instruct.Q4_1.gguf MISTRAL_API_DRAIN_DELAY=0 MISTRAL_API_DRAIN_TIMEOUT=1
ENTRYPOINT ["/opt/mistral-api/bin/python", "/app/reload.py"]

# --- cuda: runtime with NVIDIA's backend; without a GPU it computes on the CPU
FROM base AS cuda
USER 0
RUN --mount=type=bind,from=cuda-library,source=/cuda,target=/cuda \
    cp /cuda/libggml-cuda.so /opt/mistral-api/lib/python3*/site-packages/llama_cpp/lib/ && \
    mkdir /opt/cuda && cp /cuda/libcu* /opt/cuda/ && echo /opt/cuda >/etc/ld.so.conf.d/cuda.conf && ldconfig
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001

# --- runtime: last, so that it is what a build without a target makes
FROM base AS runtime
