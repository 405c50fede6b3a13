# syntax=docker/dockerfile:1
# The server: api, scheduler and the command line. No libtorch, no compiler, no shell tools beyond Debian's.
#   docker build --file images/server.Dockerfile --build-arg REVISION="$(git rev-parse HEAD)" --tag trainyard/server .
# Both base images are named with their digest: an update is a change of these two lines.
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
ARG BASE_IMAGE=debian:bookworm-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171

FROM ${RUST_IMAGE} AS build
# The toolchain that the image has: rust-toolchain.toml also asks for components that only developers need.
ENV RUSTUP_TOOLCHAIN=1.95.0
# The program tells it in its metrics.
ARG REVISION=unknown
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    TRAINYARD_REVISION="${REVISION}" cargo build --locked --release --package trainyard \
    && install -D --strip target/release/trainyard /out/usr/local/bin/trainyard \
    && install -D --mode=644 LICENSE /out/usr/share/doc/trainyard/LICENSE \
    && install -D --mode=644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Trainyard server" \
      org.opencontainers.image.description="API, scheduler and command line of Trainyard" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin trainyard
COPY --from=build /out/ /
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
# API, listener for executors, metrics.
EXPOSE 8420 8421 9464
ENTRYPOINT ["/usr/local/bin/trainyard"]
CMD ["--help"]
