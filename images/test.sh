#!/usr/bin/env bash
# Runs an image's Dockerfile as it stands, without Docker and without a registry: both base images are made of Debian's packages, the compiler is
# the machine's own. What comes out has to run as the chart runs it: not root, and on a root that cannot be written to.
#   images/test.sh [server|executor]     the executor with libtorch's CPU half; works in .cache/images-test, some GB; a second run builds less
#   QUICK=1 images/test.sh ...           the same without the compiler's optimisations, which take most of the time
# It needs root, debootstrap, buildah, curl and a Rust toolchain of rust-toolchain.toml's version.
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:-server}
dockerfile=images/$name.Dockerfile
[ -f "$dockerfile" ] || { echo "no $dockerfile" >&2; exit 2; }
work=${IMAGES_TEST_DIR:-.cache/images-test}
mkdir -p "$work"
work=$(realpath "$work")
for program in debootstrap buildah rustup curl; do
    command -v "$program" >/dev/null || { echo "missing: $program" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo 'debootstrap needs root' >&2; exit 1; }
channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
sysroot=$(rustup run "$channel" rustc --print sysroot)
revision=$(git rev-parse HEAD)
buildah() { BUILDAH_ISOLATION=chroot command buildah --root "$work/storage" --runroot "$work/run" "$@"; }
step() { printf '\n== %s\n' "$*"; }

if ! buildah inspect --type image localhost/trainyard-base >/dev/null 2>&1; then
    step 'A base of Debian packages'
    rm -rf "$work/debian"
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/debian" >"$work/debootstrap.log"
    # This machine may reach registries through an authority of its own.
    cp /etc/ssl/certs/ca-certificates.crt "$work/debian/etc/ssl/certs/ca-certificates.crt"
    base=$(buildah from scratch)
    buildah copy --quiet "$base" "$work/debian" / >/dev/null
    buildah commit --quiet --rm "$base" localhost/trainyard-base >/dev/null
    rm -rf "$work/debian"
fi
if ! buildah inspect --type image localhost/trainyard-rust >/dev/null 2>&1; then
    step "Rust $channel on it"
    rust=$(buildah from --pull-never localhost/trainyard-base)
    buildah run "$rust" -- sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null'
    buildah copy --quiet "$rust" "$sysroot/bin" /usr/local/rust/bin >/dev/null
    buildah copy --quiet "$rust" "$sysroot/lib" /usr/local/rust/lib >/dev/null
    buildah config --env PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --env CARGO_HOME=/usr/local/cargo --env "CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-$(nproc)}" "$rust"
    buildah commit --quiet --rm "$rust" localhost/trainyard-rust >/dev/null
fi

compiler=localhost/trainyard-rust
if [ -n "${QUICK:-}" ]; then
    compiler=localhost/trainyard-rust-quick
    quick=$(buildah from --pull-never localhost/trainyard-rust)
    buildah config --env CARGO_PROFILE_RELEASE_OPT_LEVEL=0 --env CARGO_PROFILE_RELEASE_LTO=off --env CARGO_PROFILE_RELEASE_DEBUG=0 "$quick"
    buildah commit --quiet --rm "$quick" "$compiler" >/dev/null
fi

step "$dockerfile"
buildah bud --pull-never --layers --file "$dockerfile" --ignorefile "$dockerfile.dockerignore" \
    --build-arg RUST_IMAGE="$compiler" --build-arg BASE_IMAGE=localhost/trainyard-base --build-arg LIBTORCH=cpu \
    --build-arg VERSION=test --build-arg REVISION="$revision" --tag "localhost/trainyard-$name" .

step 'What it says of itself'
image() { buildah inspect --type image --format "$1" "localhost/trainyard-$name"; }
[ "$(image '{{.OCIv1.Config.User}}')" = 10001:10001 ]
[ "$(image '{{.OCIv1.Config.Entrypoint}}')" = '[/usr/local/bin/trainyard]' ]
[ "$(image '{{index .OCIv1.Config.Labels "org.opencontainers.image.revision"}}')" = "$revision" ]

step 'As the chart runs it'
container=$(buildah from --pull-never "localhost/trainyard-$name")
root=$work/root
server=
mkdir -p "$root"
mount --bind "$(buildah mount "$container")" "$root"
clean() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
    umount --recursive "$root"
    buildah rm "$container" >/dev/null
}
trap clean EXIT
mount -o remount,bind,ro "$root"
# By it the loader learns where a program lies, and the trainer's libraries with it.
mount --bind /proc "$root/proc"
inside() { chroot --userspec=10001:10001 "$root" "$@"; }
inside /usr/local/bin/trainyard --version
for command in api scheduler executor serve; do
    inside /usr/local/bin/trainyard "$command" --help >/dev/null
done
if inside /usr/bin/touch /tmp/written 2>/dev/null; then
    echo 'the root can be written to' >&2
    exit 1
fi
[ ! -e "$root/src" ] && [ ! -e "$root/usr/local/cargo" ]

# It gets as far as its settings, and says which one is missing.
told=$(inside /usr/local/bin/trainyard api 2>&1) && { echo 'the api runs without a record' >&2; exit 1; }
grep -q "'store'" <<<"$told" || { printf 'not about the record: %s\n' "$told" >&2; exit 1; }

if [ "$name" = executor ]; then
    # The trainer finds libtorch; the embedded server answers over a volume, and ends when it is asked to.
    inside /usr/local/bin/trainyard-trainer --help >/dev/null
    mount -t tmpfs -o uid=10001,gid=10001,mode=700 tmpfs "$root/var/lib/trainyard"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    chroot --userspec=10001:10001 "$root" /usr/bin/env TRAINYARD_LISTEN=127.0.0.1:"$port" TRAINYARD_DATA_DIR=/var/lib/trainyard \
        TRAINYARD_BOOTSTRAP_KEY_FILE=/var/lib/trainyard/api-key /usr/local/bin/trainyard serve >"$work/serve.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        curl --silent --fail "http://127.0.0.1:$port/healthz/ready" >/dev/null && break
        kill -0 "$server" 2>/dev/null || { cat "$work/serve.log" >&2; exit 1; }
        sleep 0.2
    done
    curl --silent --fail "http://127.0.0.1:$port/healthz/live" >/dev/null
    curl --silent --fail --header "Authorization: Bearer $(cat "$root/var/lib/trainyard/api-key")" "http://127.0.0.1:$port/v1/models" >/dev/null
    kill -TERM "$server"
    wait "$server" || { echo "the server ended with $?" >&2; cat "$work/serve.log" >&2; exit 1; }
    server=
fi
printf 'program: %s MB; libtorch: %s MB\n' "$(($(stat -c %s "$root/usr/local/bin/trainyard") / 1000000))" \
    "$(($(du -sb "$root/usr/local/lib" | cut -f1) / 1000000))"
echo "the $name image builds and runs"
