#!/bin/sh
# Builds a folder on another machine, through the local Runnel node's HTTP API (node/API.md): build.py in another language.
#
#     build.sh NODE SOURCE RESULT COMMAND...
#
# sends the folder SOURCE to NODE, runs COMMAND in it there, shows what it says as it comes, and brings RESULT, a file or
# folder that the build made in it, into the current folder. Beside the build a second program looks at the load of NODE,
# and is cancelled when the build has ended. Ctrl-C cancels the build. For example:
#
#     build.sh w1 src target/program make -j4
#
# The exit code is that of COMMAND; else 2 (wrong arguments), 82 (the node will not run it), 85 (cancelled), 86 (nobody
# knows how it ended), 88 (there is no local node), or 1. It needs curl, and what POSIX has beside a shell; base64, gzip, tar.
set -u

newline='
'

# --- The local node

socket=${RUNNEL_SOCKET:-}
if [ -z "$socket" ]; then
    if [ "$(id -u)" = 0 ]; then
        socket=/run/runnel/api.sock
    elif [ -n "${XDG_RUNTIME_DIR:-}" ]; then
        socket=$XDG_RUNTIME_DIR/runnel/api.sock
    else
        socket=${XDG_STATE_HOME:-$HOME/.local/state}/runnel/api.sock
    fi
fi

# Asks the local node: METHOD PATH, and more for curl. Prints the answer; says what is wrong with an error, and fails.
ask() {
    method=$1 path=$2
    shift 2
    answer=$(curl --silent --unix-socket "$socket" --request "$method" --write-out '\n%{http_code}' "$@" "http://runnel$path")
    case $? in
    0) ;;
    7) fail "no node listens at $socket: start it, or set RUNNEL_SOCKET" 88 ;;
    *) return 1 ;;
    esac
    status=${answer##*"$newline"}
    answer=${answer%"$newline"*}
    case $status in
    2??) printf '%s\n' "$answer" ;;
    *)
        say "$path: $(printf '%s\n' "$answer" | field message | text)"
        return 1
        ;;
    esac
}

# Stores a command: NODE TYPE ARGUMENTS, and more of its fields. Prints its id.
submit() {
    ask POST /v1/commands --json "{\"to\":$(json "$1"),\"command\":\"$2\",\"args\":$3${4:-}}" | field id
}

# Prints what happens to a command, a line each: ID QUERY.
events() {
    curl --silent --no-buffer --unix-socket "$socket" "http://runnel/v1/commands/$1/events$2"
}

# Prints a command's outcome, once it has one.
outcome() {
    events "$1" '?follow=true' | grep '"event":"outcome"'
}

cancel() {
    # It may have ended.
    curl --silent --output /dev/null --unix-socket "$socket" --request POST "http://runnel/v1/commands/$1/cancel"
}

# --- JSON

# Writes a text as JSON does.
json() {
    printf '%s\n' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/	/\\t/g' |
        awk 'BEGIN { printf "\"" } NR > 1 { printf "\\n" } { printf "%s", $0 } END { printf "\"" }'
}

# Writes an array of texts.
json_array() {
    comma=
    printf '['
    for word; do
        printf '%s%s' "$comma" "$(json "$word")"
        comma=,
    done
    printf ']'
}

# Prints a field of an object on one line that is a text, as it stands there. Quotes within texts have a backslash before them,
# so what begins a field begins nothing else.
field() {
    LC_ALL=C sed -n 's/.*"'"$1"'":"\([^"\\]*\(\\.[^"\\]*\)*\)".*/\1/p'
}

# Prints a field that is a number.
number() {
    sed -n 's/.*"'"$1"'":\([0-9][0-9]*\).*/\1/p'
}

# Reads a text as JSON writes it, and prints it.
text() {
    LC_ALL=C awk '{
        parts = split($0, part, "\\")
        printf "%s", part[1]
        for (i = 2; i <= parts; i++) {
            kind = substr(part[i], 1, 1)
            rest = 2
            if (kind == "") printf "\\%s", part[++i]
            else if (kind == "n") printf "\n"
            else if (kind == "t") printf "\t"
            else if (kind == "r") printf "\r"
            else if (kind == "b") printf "\b"
            else if (kind == "f") printf "\f"
            else if (kind == "u") {
                # Only controls stand there as a number, of four digits.
                printf "%c", 16 * digit(4) + digit(5)
                rest = 6
            } else printf "%s", kind
            if (kind != "") printf "%s", substr(part[i], rest)
        }
    }
    function digit(place) { return index("123456789abcdef", substr(part[i], place, 1)) }'
}

# --- The parts of a build

say() {
    printf 'build.sh: %s\n' "$1" >&2
}

fail() {
    say "$1"
    exit "$2"
}

# Fails unless an outcome is that of a command that was done: WHAT OUTCOME.
check() {
    # A result may have a kind of its own.
    plain=$(printf '%s\n' "$2" | sed 's/"result":{[^}]*}//')
    kind=$(printf '%s\n' "$plain" | field kind)
    reason=$(printf '%s\n' "$plain" | field reason)
    told=$(printf '%s\n' "$plain" | field message | text)
    case $kind:$reason in
    done:*) return ;;
    cancelled:* | failed:cancelled) code=85 ;;
    rejected:*) code=82 ;;
    unknown:*) code=86 ;;
    *) code=1 ;;
    esac
    fail "$1: $kind${reason:+: $reason}${told:+: $told}" "$code"
}

upload() {
    args="{\"path\":\"$folder\",\"kind\":\"folder\",\"replace\":true,\"make_parents\":true}"
    put=$(submit "$node" fs.put/1 "$args" ',"has_body":true') && [ -n "$put" ] || exit 1
    # A tar stream; if it is not taken, the outcome says why.
    tar -C "$source" -cf - . | curl --silent --output /dev/null --unix-socket "$socket" --upload-file - \
        "http://runnel/v1/commands/$put/body"
    check "sending $source" "$(outcome "$put")"
}

# Runs a command in the folder and passes on what it says.
build() {
    args="{\"program\":$(json "$1"),\"args\":$(shift && json_array "$@"),\"cwd\":\"$folder\"}"
    running=$(submit "$node" exec/1 "$args") && [ -n "$running" ] || exit 1
    events "$running" '?follow=true' | while IFS= read -r line; do
        case $line in
        *'"event":"output"'*) show "$line" ;;
        *'"event":"gap"'*) say "some of the output is not kept any more" ;;
        esac
    done
    ended=$(outcome "$running") || fail "the local node is away; $running may go on without it" 88
    running=
    check "$1" "$ended"
    exit_code=$(printf '%s\n' "$ended" | number exit_code)
    signal=$(printf '%s\n' "$ended" | number signal)
    [ -z "$signal" ] || exit_code=$((128 + signal))
    [ -n "$exit_code" ] || fail "$1: it ended, and its exit code was lost" 86
}

show() {
    case $(printf '%s\n' "$1" | field stream) in
    stdout) content "$1" ;;
    *) content "$1" >&2 ;;
    esac
}

content() {
    case $1 in
    *'"text":"'*) printf '%s\n' "$1" | field text | text ;;
    *) printf '%s\n' "$1" | field base64 | base64 -d ;;
    esac
}

# Brings a file or folder, compressed by the node that has it.
download() {
    stat=$(submit "$node" fs.stat/1 "{\"path\":$(json "$folder/$1"),\"follow\":true}") && [ -n "$stat" ] || exit 1
    found=$(outcome "$stat")
    check "looking for $1" "$found"
    found=$(printf '%s\n' "$found" | sed -n 's/.*"result":{\([^}]*\)}.*/\1/p')
    [ -n "$found" ] || fail "the build made no $1" 1
    get=$(submit "$node" fs.get/1 "{\"path\":$(json "$folder/$1"),\"compress\":\"gzip\"}") && [ -n "$get" ] || exit 1
    name=$(basename "$1")
    if [ "$(printf '%s\n' "$found" | field kind)" = folder ]; then
        mkdir -p "$name"
        body "$get" | gzip -dc | tar -C "$name" -xf -
    else
        body "$get" | gzip -dc >"$name"
        chmod "$(printf '%o' $(($(printf '%s\n' "$found" | number mode) % 512)))" "$name"
    fi
    check "bringing $1" "$(outcome "$get")"
}

body() {
    curl --silent --unix-socket "$socket" "http://runnel/v1/commands/$1/body"
}

# Starts a program that goes on until it is cancelled.
watch_load() {
    args="{\"program\":\"/bin/sh\",\"args\":[\"-c\",\"while cat /proc/loadavg; do sleep 1; done\"]}"
    load=$(submit "$node" exec/1 "$args" ',"class":"low"') && [ -n "$load" ] || exit 1
}

# Cancels the program, and says what it saw.
end_load() {
    cancel "$load"
    seen=$(events "$load" '?follow=true' | grep '"event":"output"' | while IFS= read -r line; do content "$line"; done |
        awk 'NR == 1 { min = max = $1 } $1 < min { min = $1 } $1 > max { max = $1 } END { if (NR) print min " to " max }')
    load=
    [ -z "$seen" ] || say "load from $seen"
}

# Leaves nothing behind, however it ends. What goes on by itself is not waited for: the node may be away.
tidy() {
    trap - INT TERM
    [ -z "$running" ] || cancel "$running"
    [ -z "$load" ] || cancel "$load"
    [ -z "$folder" ] ||
        submit "$node" fs.remove/1 "{\"paths\":[\"$folder\"],\"folders\":true,\"force\":true}" >/dev/null
}

# --- The whole

[ $# -ge 4 ] || fail "arguments: NODE SOURCE RESULT COMMAND..." 2
node=$1 source=$2 result=$3
shift 3
running= load= folder=
trap tidy EXIT
trap 'exit 85' INT TERM
ask GET /v1/node >/dev/null || exit 1
folder=builds/example-$$
upload
watch_load
build "$@"
end_load
[ "$exit_code" != 0 ] || download "$result"
exit "$exit_code"
