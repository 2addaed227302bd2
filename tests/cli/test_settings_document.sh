#!/bin/sh
# The table of options in the operator's guide is the program's own. Run as: sh SCRIPT KONTEXT-MANUAL GUIDE
echo 1..1
found=$(sed -n '/^<!-- settings -->$/,/^<!-- end of settings -->$/p' "$2" | sed '1d;$d')
expected=$("$1" settings)
if [ "$found" = "$expected" ]; then
    echo "ok 1 - the guide's table of options is that of the program"
else
    echo "not ok 1 - the guide's table of options is that of the program"
    echo "# put the output of '$1 settings' between the two marks in $2"
    exit 1
fi
