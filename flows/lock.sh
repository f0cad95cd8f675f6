#!/bin/sh
# Brings the lock files up to date with the .in files; `flows/lock.sh --upgrade` takes newer releases too. Needs uv.
set -eu
cd "$(dirname "$0")"

lock() {
    name=$1
    shift
    # No index URL goes into the files: they install from whatever index the machine is set up with.
    uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
        --output-file "requirements-$name.lock" "requirements-$name.in" "$@"
}

lock 3.8.8 "$@"
lock 3.6.29 "$@"

# The test lock comes on top of either of the others, so it leaves out what they hold already.
lock test "$@" --no-emit-package colorama --no-emit-package exceptiongroup --no-emit-package packaging \
    --no-emit-package pluggy --no-emit-package pygments --no-emit-package tomli --no-emit-package typing-extensions
