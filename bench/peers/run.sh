#!/bin/bash
# run.sh WORK: one piece of work (w1, w2, w4) until it is ended. BOOT, IN, OUT, GROUP (and PGP) say what to read and
# write; COMMIT is the commit interval. Prints `FIRST <seconds>` when the first records are read.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=$here/../../target/bench-peers    # keeps compiled plugins and the identity of the host from run to run
export RUST_LOG=${RUST_LOG:-info,azenha_engine::lane=debug}
exec "${AZENHA:-$here/../../target/release/azenha}" run "$here/$1" --config "$here/host.yaml" --data "$data" \
  2> >(awk '/reads its first records/ && !first { first = 1; system("date +\"FIRST %s.%N\"") } { print; fflush() }')
