#!/usr/bin/env bash
# The checks that need a GPU, with binaries that were built elsewhere: scripts/gpu_check.sh TRAINER TESTS. TRAINER is trainyard-trainer, TESTS the
# trainer's test binary (`target/debug/deps/it-*`, the one that has `cuda::` tests). Run in a checkout on a machine that has torch 2.11.0 with CUDA:
# as the Python package, or with TORCH_LIB naming the folder of libtorch_cuda.so. PYTHON is the interpreter, by default python3.
set -euo pipefail
cd "$(dirname "$0")/.."
trainer=$(realpath "${1:?name trainyard-trainer}") tests=$(realpath "${2:?name the binary of the tests}")
python=${PYTHON:-python3}

if [ -z "${TORCH_LIB:-}" ]; then
    version=$("$python" -c 'import torch; print(torch.__version__.split("+")[0])' 2>/dev/null || echo none)
    if [ "$version" != 2.11.0 ]; then
        echo "$python has torch $version, not 2.11.0; TORCH_LIB can name another place of its libraries"
        exit 1
    fi
    TORCH_LIB=$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent / "lib")')
fi
# The wheel's CUDA libraries lie beside torch; the binaries' own search path is that of the machine that built them.
libraries=$TORCH_LIB
for folder in "$TORCH_LIB"/../../nvidia/*/lib; do
    [ -d "$folder" ] && libraries+=:$folder
done
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

(cd executor/trainer && "$tests" cuda:: --test-threads=1 --nocapture)
if "$python" -c 'import peft, transformers' 2>/dev/null; then
    "$python" bench/run.py --device cuda --trainer "$trainer"
else
    echo "$python has no transformers and PEFT: the benchmark runs without its peers"
    "$python" bench/run.py --device cuda --trainer "$trainer" --peers
fi
