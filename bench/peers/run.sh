#!/bin/bash
# run.sh WORK: does one piece of work (w1, w2 or w4) until it is ended. BOOT, IN, OUT, GROUP and PGP say what is read
# and written, COMMIT how often; see README.md. Prints `FIRST <seconds since 1970>` when the first records are read.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# Keeps compiled plugins and the host's identity from run to run.
data=${DATA:-$here/../../target/bench-peers}
export RUST_LOG=${RUST_LOG:-info,azenha_engine::lane=debug}
exec "${AZENHA:-$here/../../target/release/azenha}" run "$here/$1" --config "$here/host.yaml" --data "$data" \
  2> >(awk '/reads its first records/ && !first { first = 1; system("date +\"FIRST %s.%N\"") } { print; fflush() }')
