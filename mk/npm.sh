#!/usr/bin/env bash
# npm.sh: makes sure that what tests/scenario/package-lock.json pins (Claude's
# official SDK) is installed there. Silent and fast when it is; a copy in
# npm's own cache needs no network.
set -euo pipefail
cd "$(dirname "$0")/../tests/scenario"

# npm writes the first of these when it has finished.
[[ node_modules/.package-lock.json -nt package-lock.json ]] && exit 0

npm ci --prefer-offline --no-audit --no-fund --silent </dev/null || {
    echo "The scenarios use Claude's official SDK as pinned in" \
        "tests/scenario/package-lock.json, and npm could not install it." \
        "With a network, or a registry set in npm's own configuration, run" \
        "mk/npm.sh again; unit tests and lint need none of it." >&2
    exit 1
}
