#!/bin/sh
# Brings the lock files up to date with the .in files; `flows/lock.sh --upgrade` takes newer releases too. Needs uv.
set -eu
cd "$(dirname "$0")"
export UV_CUSTOM_COMPILE_COMMAND=flows/lock.sh

lock() {
    name=$1
    shift
    # No index URL goes into the files: they install from whatever index the machine is set up with.
    uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
        --output-file "requirements-$name.lock" "requirements-$name.in" "$@"
}

lock 3.8.8 "$@"
lock 3.6.29 "$@"
lock dbt "$@"
# After 3.8.8, to whose versions it is bound.
lock worker "$@"
lock worker-dbt "$@"

# The test lock comes on top of either of the first two, so it leaves out what they hold already.
held() {
    sed -nE 's/^([a-z0-9.-]+)==.*/--no-emit-package \1/p' requirements-3.8.8.lock requirements-3.6.29.lock | sort -u
}
# shellcheck disable=SC2046 # one argument a word
lock test "$@" -c requirements-3.8.8.lock $(held)
