#!/bin/sh
# run.sh TEST.mjs PROGRAM: the test, or one line of TAP that says what is missing
modules=$KONTEXT_SOURCE/.cache/tests/browser
for need in node chromium; do
    command -v $need >/dev/null || { echo "1..1"; echo "ok 1 - the page in a browser # SKIP $need is not installed"; exit 0; }
done
[ -d "$modules/node_modules/playwright-core" ] || { echo "1..1"; echo "ok 1 - the page in a browser # SKIP playwright-core is not installed"; exit 0; }
KONTEXT_BROWSER_MODULES=$modules KONTEXT_SHOTS=${KONTEXT_SHOTS:-$KONTEXT_SOURCE/.cache/screenshots} exec node "$@"
