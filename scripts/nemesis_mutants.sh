#!/usr/bin/env bash
# Builds the server so that a guard of its protocol can be left out, and has the nemesis find each that is. The plain server is built anew
# at the end, so that no such build stays under its name.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/prerequisites.sh s3
scripts/prerequisites.sh test
cargo build --locked -p trainyard --features mutants
cp target/debug/trainyard target/debug/trainyard-with-mutants
cargo build --locked -p trainyard -p trainyard-nemesis
target/debug/trainyard-nemesis mutants
