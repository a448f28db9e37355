#!/bin/sh
# deadman GUARD SECONDS END...: ends this machine by running END once SECONDS of its life are over (docs/guest.md).
# It needs only a POSIX shell with chmod, date, mkdir, mv and sleep: nothing that the machine might still have to install.
# There is no `set -e`: a full disk or a missing file must not end the guard.
guard=$1 seconds=$2
shift 2
trap '' HUP INT

whole() { # whether $1 is a number that the shell's arithmetic reads as meant (a leading zero would mean octal)
    case $1 in '' | *[!0-9]* | 0?* | ?????????????*) return 1 ;; esac
}
get() { # the number in file $1 of the guard folder, in $found
    found=
    { read -r found <"$guard/$1"; } 2>/dev/null
    whole "$found"
}
put() { # all or nothing: aside, then renamed
    { printf '%s\n' "$2" >"$guard/$1.new" && mv -f "$guard/$1.new" "$guard/$1"; } 2>/dev/null
}
look() { # a clock that goes forward, in $kind and $clock; kind "none" where there is not even a date
    kind=uptime clock=
    { read -r clock _ </proc/uptime; } 2>/dev/null
    clock=${clock%%.*}
    whole "$clock" && return
    kind=date clock=$(date +%s 2>/dev/null)
    whole "$clock" || kind=none clock=0
}
count() { # what passed since the last look, in $passed; $1 seconds where the clocks cannot tell
    old_kind=$kind old_clock=$clock passed=$1
    look
    [ "$kind" = "$old_kind" ] && [ "$kind" != none ] && [ "$clock" -ge "$old_clock" ] && passed=$((clock - old_clock))
}
resume() { # after a restart: what was counted, and what nobody saw: at least 60 s, more where the clock shows more
    get life && life=$found || life=$seconds
    kind=none clock=0
    { read -r kind clock <"$guard/clock"; } 2>/dev/null
    whole "$clock" || kind=none clock=0
    count 60
    [ "$kind$old_kind" = uptimeuptime ] && [ "$clock" -lt "$old_clock" ] && passed=$((clock + 60)) # booted again
    [ "$passed" -ge 60 ] || passed=60
    life=$((life + passed))
}

mkdir -p "$guard" 2>/dev/null
chmod 0777 "$guard" 2>/dev/null # who logs in may rewrite the lease: on these machines that is an administrator anyway
whole "$seconds" || seconds=0
life=0
if [ -e "$guard/life" ]; then resume; else look; fi
[ -e "$guard/lease" ] || put lease "$seconds"
put pid $$
while :; do
    get life && [ "$found" -gt "$life" ] && life=$found
    put life "$life"
    put clock "$kind $clock"
    get lease && lease=$found || lease=$seconds
    if [ "$life" -ge "$lease" ]; then
        "$@" </dev/null >/dev/null 2>&1 & # in the background: an END that hangs must not stop the next one
    fi
    sleep 5
    count 5
    life=$((life + passed))
done
