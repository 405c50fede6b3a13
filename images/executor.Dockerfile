# syntax=docker/dockerfile:1
# Executors and the embedded server: server, trainer, libtorch and the CUDA runtime. The node brings the driver.
#   docker build --file images/executor.Dockerfile --build-arg REVISION="$(git rev-parse HEAD)" --tag trainyard/executor .
#   docker build --file images/executor.Dockerfile --build-arg LIBTORCH=cpu ...    without CUDA, 4 GB smaller
#   docker run --read-only --tmpfs /tmp --volume trainyard:/var/lib/trainyard --publish 127.0.0.1:8420:8420 trainyard/executor \
#     serve --listen 0.0.0.0:8420 --data-dir /var/lib/trainyard
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
ARG BASE_IMAGE=debian:bookworm-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171

FROM ${RUST_IMAGE} AS tools
# The base is pinned by its digest; of these only Debian's security updates change.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src

FROM tools AS libtorch
# full or cpu
ARG LIBTORCH=full
COPY scripts/libtorch.py scripts/libtorch.py
RUN --mount=type=cache,target=/src/.cache/wheels \
    python3 -m venv .cache/tools \
    && TRAINYARD_LIBTORCH="${LIBTORCH}" python3 scripts/libtorch.py

FROM tools AS build
ENV RUSTUP_TOOLCHAIN=1.95.0
# The program tells it in its metrics.
ARG REVISION=unknown
COPY . .
COPY --from=libtorch /src/.libtorch .libtorch
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    TRAINYARD_REVISION="${REVISION}" cargo build --locked --release --package trainyard --package trainyard-trainer \
    && install -D --strip --target-directory=/out/usr/local/bin target/release/trainyard target/release/trainyard-trainer \
    && install -D --mode=644 LICENSE /out/usr/share/doc/trainyard/LICENSE \
    && install -D --mode=644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Trainyard executor" \
      org.opencontainers.image.description="Executor and embedded server of Trainyard, with libtorch and the CUDA runtime" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# What the container runtime mounts from the node, where it has GPUs.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin trainyard \
    && install --directory --owner=10001 --group=10001 --mode=700 /var/lib/trainyard
# Where the trainer looks for it: ../lib/libtorch beside its own folder.
COPY --from=libtorch /src/.libtorch/lib/ /usr/local/lib/libtorch/
COPY --from=build /out/ /
USER 10001:10001
EXPOSE 8420 9464
ENTRYPOINT ["/usr/local/bin/trainyard"]
CMD ["--help"]
