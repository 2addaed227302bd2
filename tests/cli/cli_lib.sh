# What the scripts of this folder share. Run as: sh SCRIPT PROGRAM. Prints TAP.
set -u
for name in $(env | sed -n 's/^\(KONTEXT_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
unset XDG_DATA_HOME NOTIFY_SOCKET WATCHDOG_USEC
work=$(mktemp -d "${TMPDIR:-/tmp}/kontext-cli-XXXXXX")
# A copy away from the source tree, so that no demo model is found beside it.
kontext=$work/kontext
cp "$1" "$kontext" || exit 1
cd "$work" || exit 1
data=$work/data
server=
checks=0
failures=0

clean_up() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

check() { # NAME COMMAND...
    check_name=$1
    shift
    checks=$((checks + 1))
    if "$@" >"$work/check.log" 2>&1; then
        echo "ok $checks - $check_name"
    else
        failures=$((failures + 1))
        echo "not ok $checks - $check_name"
        sed 's/^/# /' "$work/check.log"
    fi
}

finish() {
    echo "1..$checks"
    [ "$failures" = 0 ]
}

# ends STATUS PATTERN ARGUMENTS...: the program ends with STATUS, and what it says matches PATTERN
ends() {
    wanted=$1 pattern=$2
    shift 2
    status=0
    "$kontext" "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || status=$?
    cat "$work/stdout" "$work/stderr"
    echo "status $status, expected $wanted; words expected: $pattern"
    [ "$status" = "$wanted" ] && cat "$work/stdout" "$work/stderr" | grep -qE -e "$pattern"
}

# start ARGUMENTS...: a server on a free port, with --json; its words are in $work/start
start() {
    rm -f "$work/start" # the words of a start before are not this one's
    "$kontext" serve --json --data "$data" --listen 127.0.0.1:0 "$@" >"$work/start" 2>"$work/log" </dev/null &
    server=$!
    tries=0
    until grep -q '^}' "$work/start" 2>/dev/null; do
        tries=$((tries + 1))
        kill -0 "$server" 2>/dev/null && [ "$tries" -lt 600 ] || return 1
        sleep 0.1
    done
    address=$(told address)
}

told() { sed -n "s/^ *\"$1\": \"\\(.*\\)\",*\$/\\1/p" "$work/start"; }

# stop SIGNAL STATUS: the server ends with STATUS
stop() {
    status=0
    kill "-$1" "$server"
    wait "$server" || status=$?
    server=
    echo "ended with $status"
    [ "$status" = "$2" ]
}
