#!/bin/sh
# Registers connectors, or changes them to what their files say, and waits until each of them runs. CONNECT is the URL of
# Connect's API.
#
#   register.sh CONNECTOR.json...
set -eu

# A connector runs when it and its one task do.
await_start() {
    for _ in $(seq 120); do
        status=$(curl --silent --fail "$CONNECT/connectors/$1/status" || true)
        [ "$(echo "$status" | grep -o '"state":"RUNNING"' | wc -l)" -lt 2 ] || return 0
        sleep 1
    done
    echo "connector $1 does not run: $status" >&2
    exit 1
}

for file in "$@"; do
    name=$(sed -n 's/^ *"name": "\([^"]*\)",$/\1/p' "$file")
    curl --silent --show-error --fail --output /dev/null --retry 60 --retry-delay 2 --retry-all-errors \
        --request PUT --header 'Content-Type: application/json' --data "@$file" "$CONNECT/connectors/$name/config"
    await_start "$name"
done
