#!/usr/bin/env bash
# Holds the absences of ARCHITECTURE.md ("what is never there") by plain search. Each line printed is a place and a reason.
set -euo pipefail
cd "$(dirname "$0")/.."
found=0

# never REASON PATTERN PATHSPEC...: fails where tracked text matches.
never() {
    local reason=$1 pattern=$2
    shift 2
    local hits
    if hits=$(git grep -nIE "$pattern" -- "$@" ':!scripts/tidy.sh'); then
        printf '%s\n' "$hits" | cut -c1-180 | sed "s|\$|    <- $reason|"
        found=1
    fi
}

never 'only executor/trainer links libtorch' '\b(tch|torch_sys)::' '*.rs' ':!executor/trainer/*'
never 'the trainer opens no socket' 'std::net|TcpStream|UdpSocket|UnixStream' 'executor/trainer/src/*'
never 'the trainer has no async runtime and no HTTP' '^(tokio|reqwest|actix|hyper|aws)' 'executor/trainer/Cargo.toml'
never 'the wire crate and the plan do no I/O' 'std::(fs|net|process|env)|SystemTime::now' 'openapi/src/*' 'scheduler/plan/src/*'
never 'the scheduler knows no HTTP' 'actix|StatusCode|http::' 'scheduler/src/*'
never 'api and executor never see each other' 'trainyard_executor' 'api/*'
never 'api and executor never see each other' 'trainyard_api' 'executor/*'
never 'no pickle, ever: libtorch loads archives with pickles' 'serde_pickle|CModule|Tensor::(f_)?load' '*.rs'
never 'privacy computes only' 'std::(fs|net|process|env)|Instant::now|SystemTime|tokio|\btch::' 'privacy/src/*'
never 'continual learning computes only' 'std::(fs|net|process|env)|Instant::now|SystemTime|tokio|\btch::' 'continual/src/*'
never 'unfinished code' '\b(todo|unimplemented)!\(' '*.rs'
never 'a path of one machine' '/(work|home|root)/[a-z]' ':!*Cargo.lock'
never 'registries are named by their clients, not by us' '(static\.|index\.)?crates\.io|pypi\.org|registry\.npmjs|deb\.debian\.org' ':!*Cargo.lock'

# One idea a file: nine in ten stay under 400 lines.
total=0 long=0
while read -r lines name; do
    [ "$name" = total ] && continue
    total=$((total + 1))
    if [ "$lines" -gt 400 ]; then
        long=$((long + 1))
        printf 'note: %s has %s lines\n' "$name" "$lines"
    fi
done < <(git ls-files '*.rs' | xargs wc -l)
if [ $((long * 10)) -gt "$total" ]; then
    echo "$long of $total Rust files have more than 400 lines: split them by idea"
    found=1
fi
exit "$found"
