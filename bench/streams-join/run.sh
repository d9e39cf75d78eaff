#!/usr/bin/env bash
# run.sh [ORDERS [CHANGES]]: the same join in Azenha and in Kafka Streams, one after the other on one broker; see README.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
orders=${1:-100000} changes=${2:-200000}
read -ra systems <<< "${SYSTEMS:-azenha rocksdb memory}"
azenha=${AZENHA:-$root/target/release/azenha}
programs=${XDG_CACHE_HOME:-$HOME/.cache}/azenha/streams-join-4.3.1
scratch=$(mktemp -d)
chmod 755 "$scratch"
running=()

stop() {
    for pid in "${running[@]}"; do kill "$pid" 2> /dev/null || true; done
    [ ! -d "$scratch/kafka" ] || "$root/tests/services/kafka" stop "$scratch/kafka"
    [ -n "${KEEP:-}" ] || rm -rf "$scratch"
}
trap stop EXIT

if [ ! -d "$programs" ]; then
    mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$programs.part"
    mv "$programs.part" "$programs"
fi
javac -nowarn -cp "$programs/*" -d "$scratch/classes" "$here"/src/*.java
if [ -z "${BOOT:-}" ]; then
    KAFKA_JVM=${KAFKA_JVM:--Xms1g -Xmx1g} "$root/tests/services/kafka" start "$scratch/kafka"
    BOOT=$(cat "$scratch/kafka/brokers")
fi
export BOOT

quiet=-Dorg.slf4j.simpleLogger.defaultLogLevel=error
referee() { java $quiet -Xmx1g -XX:+UseSerialGC -cp "$scratch/classes:$programs/*" Referee "$@"; }

# become SYSTEM: turns the shell into it.
become() {
    case $1 in
    azenha)
        export RUST_LOG=info,azenha_engine::lane=debug
        exec "$azenha" run "$here" --config "$here/host.yaml" --data "$scratch/data"
        ;;
    *)
        exec java $quiet -Xmx4g -XX:+UseParallelGC "-Dstate=$scratch/state" "-Dcommit=${COMMIT:-100}" \
            "-Dguarantee=${GUARANTEE:-exactly_once_v2}" -cp "$scratch/classes:$programs/*" Peer "$BOOT" "$GROUP" "$1"
        ;;
    esac
}

# await PATTERN FILE PID: waits until a file holds a line, or fails with the process.
await() {
    until grep -q "$1" "$2"; do
        kill -0 "$3" || { tail -n 30 "$2" >&2; exit 1; }
        sleep 0.02
    done
}

# The seconds of CPU and the most memory, in MB, that a process took.
cost() {
    local ticks memory
    ticks=$(awk '{ print $14 + $15 }' "/proc/$1/stat")
    memory=$(awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$1/status")
    awk -v ticks="$ticks" -v second="$(getconf CLK_TCK)" -v memory="$memory" 'BEGIN { printf "%.1f %d", ticks / second, memory }'
}

rows=$((orders + orders * 10 + 5000))
declare -A appeared changed
printf '%d orders of ten lines, 5000 products, %d changes of lines; records a second\n\n' "$orders" "$changes"
printf '%-10s %10s %10s %8s %10s\n' '' appear change 'CPU, s' 'memory, MB'
for system in "${systems[@]}"; do
    export GROUP=join_${system}_$$
    referee fill "$BOOT" "$GROUP" "$orders"
    referee watch "$BOOT" "$GROUP" "$orders" "$changes" > "$scratch/watch.log" 2>&1 &
    watcher=$!
    running=("$watcher")
    await WATCHING "$scratch/watch.log" "$watcher"
    (become "$system") > "$scratch/$system.log" 2>&1 &
    process=$!
    running+=("$process")
    await 'READY\|reads its first records' "$scratch/$system.log" "$process"
    started=$(date +%s.%N)
    wait "$watcher" || { tail -n 5 "$scratch/watch.log" "$scratch/$system.log" >&2; exit 1; }
    read -r processor memory <<< "$(cost "$process")"
    kill "$process"
    wait "$process" || true
    running=()
    appeared[$system]=$(awk -v started="$started" -v rows="$rows" '/APPEARED/ { print int(rows / ($2 - started)) }' "$scratch/watch.log")
    changed[$system]=$(awk -v changes="$changes" '/CHANGED/ { print int(changes / $2) }' "$scratch/watch.log")
    printf '%-10s %10d %10d %8s %10s\n' "$system" "${appeared[$system]}" "${changed[$system]}" "$processor" "$memory"
done
for peer in rocksdb memory; do
    [ -n "${appeared[azenha]:-}" ] && [ -n "${appeared[$peer]:-}" ] || continue
    awk -v peer="$peer" -v a="${appeared[azenha]}" -v b="${appeared[$peer]}" -v c="${changed[azenha]}" -v d="${changed[$peer]}" \
        'BEGIN { printf "azenha / %-8s %4.2f %10.2f\n", peer, a / b, c / d }'
done
