#!/bin/sh
# Waits until the schema registry answers, and sets what it checks: a new version of a schema must read what the
# version before it wrote. REGISTRY is its URL.
set -eu

curl --silent --show-error --fail --output /dev/null --retry 60 --retry-delay 2 --retry-all-errors \
    --request PUT --header 'Content-Type: application/json' --data '{"compatibility":"BACKWARD"}' "$REGISTRY/config"

# An answer is not yet a rule.
rule=$(curl --silent --show-error --fail "$REGISTRY/config")
case $rule in
*'"BACKWARD"'*) ;;
*)
    echo "the registry does not keep the rule: $rule" >&2
    exit 1
    ;;
esac
