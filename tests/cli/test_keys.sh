#!/bin/sh
# kontext key, with the real program on a real store.
. "$(dirname "$0")/cli_lib.sh"

key() { "$kontext" key "$@" --data "$data" 2>"$work/stderr" </dev/null; }
is_value() { echo "$1" | grep -qE '^kx_[0-9a-f]{40}$'; }
# has NAME FIELD VALUE: what the list says of a key, as JSON
has() {
    key list --json | tr -d '\n' | sed 's/}/}\n/g' | grep "\"name\": \"$1\"" | tee /dev/stderr | grep -qE "\"$2\": \"?$3\"?[,} ]"
}

check "no command behind key" ends 2 "one of create, list, revoke, rotate, credit, limits" key
check "a misspelt command has a hint" ends 2 "did you mean 'key list'" key lst
check "an empty list" ends 0 "^number" key list --data "$data"

anna=$(key create anna --balance 20.5 --concurrency 1)
check "create prints the value alone" is_value "$anna"
check "and says so beside" grep -q "told this once" "$work/stderr"
check "its balance" has anna balance 20.5
check "its role is submit" has anna role submit
check "its limits" has anna concurrency 1
check "no rate of its own" has anna submits_per_minute 0
check "the value is not stored" sh -c "! grep -q -r '$anna' '$data'"
check "a name stands once" ends 3 "anna" key create anna --data "$data"
ops=$(key create ops --role admin)
check "a key of the role admin" has ops role admin
check "values differ" test "$anna" != "$ops"
check "an unknown role" ends 3 "read, submit, admin" key create x --role king --data "$data"
check "an empty name" ends 3 "1 to 100 bytes" key create "" --data "$data"
check "a name is needed" ends 2 "argument is missing" key create --data "$data"

check "a given value" test "$(key create moved --value 0123456789abcdef)" = 0123456789abcdef
check "a short one is refused" ends 3 "16 to 63 characters" key create short --value abc --data "$data"
check "a value from standard input" sh -c "[ \"\$(echo fedcba9876543210 | '$kontext' key create piped --value - --data '$data' 2>/dev/null)\" = fedcba9876543210 ]"
longest=$(printf %063d 7)
check "the longest value from standard input" sh -c "[ \"\$(echo $longest | '$kontext' key create longest --value - --data '$data' 2>/dev/null)\" = $longest ]"
check "a longer one is refused, not cut" sh -c "echo ${longest}8 | '$kontext' key create longer --value - --data '$data' 2>&1 | grep -q '16 to 63 characters'"
check "and made no key" ends 3 "there is no key 'longer'" key revoke longer --data "$data"

check "credit" ends 0 "the balance is 25.75 now" key credit anna 5.25 --data "$data"
check "takes away" ends 0 "the balance is 25 now" key credit anna -0.75 --data "$data"
check "what is no money" ends 3 "dollars such as" key credit anna much --data "$data"
check "seven decimals" ends 3 "dollars such as" key credit anna 0.0000001 --data "$data"
check "an unknown key" ends 3 "there is no key 'bert'" key credit bert 5 --data "$data"

check "limits" ends 0 "has its limits" key limits anna --submits-per-minute 60 --data "$data"
check "the new one" has anna submits_per_minute 60
check "the other stays" has anna concurrency 1
check "limits of nothing" ends 2 "nothing to set" key limits anna --data "$data"

again=$(key rotate anna)
check "rotate gives a new value" is_value "$again"
check "another one" test "$anna" != "$again"
check "the balance stays" has anna balance 25
check "by number" ends 0 "ops" key credit 2 1 --data "$data"
check "revoke" ends 0 "anna: revoked" key revoke anna --data "$data"
check "is listed as revoked" sh -c "'$kontext' key list --data '$data' | grep anna | grep -q revoked"
check "a revoked key is not found by its name" ends 3 "there is no key 'anna'" key rotate anna --data "$data"
check "JSON of a new key" ends 0 '"value": "kx_' key create json --json --data "$data"
check "JSON of an error" ends 3 '"code": "input"' key revoke nobody --json --data "$data"
check "a data folder that cannot be made" ends 6 "cannot" key list --data /proc/nowhere
check "a data folder by the environment" env KONTEXT_DATA="$data" sh -c "'$kontext' key list | grep -q ops"
check "a data folder by a file" sh -c "echo 'data = \"$data\"' >'$work/k.ini' && '$kontext' key list --config '$work/k.ini' | grep -q ops"

finish
