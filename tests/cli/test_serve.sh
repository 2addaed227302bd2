#!/bin/sh
# kontext serve: start, first words, signals, and what it refuses.
. "$(dirname "$0")/cli_lib.sh"

get() { # PATH [KEY]
    python3 - "$address$1" "${2:-}" <<'PYTHON'
import sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]} if sys.argv[2] else {})
try:
    answer = urllib.request.urlopen(request, timeout=20)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read(400).decode(errors="replace"))
PYTHON
}
answers() { # STATUS PATH [KEY]
    get "$2" "${3:-}" | tee /dev/stderr | grep -q "^$1 "
}

# ---- What is refused ----
check "an unknown option has a hint" ends 2 "did you mean --max-body" serve --max-bdy 1M --data "$data"
check "a bad value" ends 3 "^error: --max-body: '20Q'" serve --max-body 20Q --data "$data"
check "a bad value of the environment" env KONTEXT_RETENTION=soon sh -c "'$kontext' serve --data '$data' 2>&1 | grep -q '^error: KONTEXT_RETENTION: '"
printf 'listen = 127.0.0.1:0\nretenton = 7d\n' >"$work/bad.ini"
check "an unknown name of the file" ends 2 "bad.ini:2: unknown name retenton, did you mean retention" serve --config "$work/bad.ini" --data "$data"
check "a file that is not there" ends 3 "nowhere.ini" serve --config "$work/nowhere.ini" --data "$data"
check "a public address without a key" ends 2 "not a loopback address and there is no key" serve --listen 0.0.0.0:0 --data "$data"
check "a port that is none" ends 2 "port from 0 to 65535 is expected, 99999 is found" serve --listen "[::1]:99999" --data "$data"
check "an address without a port" ends 2 "listen address \"nowhere\": expected ADDRESS:PORT" serve --listen nowhere --data "$data"
check "an empty address" ends 2 "listen: ADDRESS:PORT .* nothing is found" serve --listen "" --data "$data"
check "a name that begins like a loopback one" ends 2 "listen address|not a loopback" serve --listen localhost.invalid:0 --data "$data"
check "a model that is not there" ends 4 "no such model folder" serve -m "$work/nowhere" --listen 127.0.0.1:0 --data "$data"
check "made no key" sh -c "! '$kontext' key list --data '$data' | grep -q first"
check "a data folder that cannot be written" ends 6 "cannot" serve --data /proc/nowhere --listen 127.0.0.1:0
check "--print-config" ends 0 '^retention = 3d$' serve --print-config --retention 3d --data "$data"

uncommented() {
    "$kontext" serve --print-config --data "$data" | sed 's/^#\([a-z]\)/\1/' >"$work/all.ini" || return 1
    "$kontext" serve --print-config --config "$work/all.ini" --data "$data" | diff "$work/all.ini" -
}
check "every default of --print-config can be uncommented" uncommented

# ---- The first start ----
check "starts" start
key=$(told first_key)
check "tells a key" test "${#key}" = 43
check "tells that the weights are synthetic" grep -q '"synthetic": true' "$work/start"
check "names its model" test -n "$(told model)"
check "is healthy" answers 200 /healthz
check "serves the page" answers 200 /
check "takes the key" answers 200 /api/v3/balance "$key"
check "takes no other" answers 401 /api/v3/balance kx_0000000000000000000000000000000000000000
check "a second server on the same data is refused" ends 6 "another server" serve --data "$data" --listen 127.0.0.1:0
other=$("$kontext" key create other --data "$data" 2>/dev/null)
seen() {
    tries=0
    until answers 200 /api/v3/balance "$other" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || return 1
        sleep 0.1
    done
}
check "sees a key that is made beside it" seen
kill -HUP "$server"
check "goes on after SIGHUP" answers 200 /healthz
check "ends with 0 on SIGTERM" stop TERM 0
check "tells a sign-in link on loopback" grep -q '"signin": "http://127.0.0.1:[0-9]*/#signin=[0-9a-f]\{32\}"' "$work/start"

# ---- Later starts ----
check "starts again" start
check "tells no key" grep -q '"first_key": null' "$work/start"
check "takes the first key still" answers 200 /api/v3/balance "$key"
check "ends with 0 on SIGINT" stop INT 0
check "starts with as many threads that fetch as can be set" start --fetch-threads 64
check "and ends" stop TERM 0
check "a given first key" sh -c "'$kontext' serve --print-config --admin-key abcdefghijklmnop --data '$data' | grep -q '^admin-key = \"abcdefghijklmnop\"'"

# ---- A first start where others reach the address ----
data=$work/public
check "a first key that is too long is refused, not cut" ends 3 "64 bytes, the limit is 63" serve --admin-key "$(printf %064d 7)" --listen 127.0.0.1:0 --data "$data"
check "starts on every address with a given key" start --admin-key abcdefghijklmnop --listen 0.0.0.0:0
check "tells the given key" test "$(told first_key)" = abcdefghijklmnop
check "tells no sign-in link" grep -q '"signin": null' "$work/start"
check "ends" stop TERM 0

# ---- The words of a first start, and systemd ----
data=$work/second
cat >"$work/notified.py" <<'PYTHON'
import os, signal, socket, subprocess, sys
program, data, path = sys.argv[1:]
socket_ = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
socket_.bind(path)
socket_.settimeout(60)
environment = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="400000")
server = subprocess.Popen([program, "serve", "--data", data, "--listen", "127.0.0.1:0"], env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
seen = [socket_.recv(4096).decode()]
seen.append(socket_.recv(4096).decode())
server.send_signal(signal.SIGTERM)
while not seen[-1].startswith("STOPPING=1"):
    seen.append(socket_.recv(4096).decode())
words = server.communicate(timeout=60)[0]
assert seen[0] == "READY=1" and seen[1] == "WATCHDOG=1", seen
assert server.returncode == 0, server.returncode
for part in ("curl -s http://127.0.0.1:", "Authorization: Bearer kx_", "/api/v3/wavespeed-ai/flux-kontext-dev/multi",
             "told this once", "synthetic", "page "):
    assert part in words, words
PYTHON
check "tells systemd when it is ready, alive and ending" python3 "$work/notified.py" "$kontext" "$data" "$work/notify"

finish
