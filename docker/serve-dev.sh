#!/bin/sh
# The start of the image for development: with HOT_RELOAD the facade restarts when a source changes.
if [ -n "${HOT_RELOAD:-}" ]; then
  # One process: only what the first one imports is watched.
  export WEB_CONCURRENCY=1
  exec node --watch --watch-preserve-output --import tsx src/cli.ts serve
fi
exec node --max-semi-space-size=4 --heap-growing-percent=50 dist/cli.js
