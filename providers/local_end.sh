#!/bin/sh
# local_end.sh ID FOLDER REASON: ends the machine ID that is FOLDER here: all its processes, then its dead-man.
# A process belongs to it when LAUNCH_MACHINE=ID stands in its environment, which children inherit, whatever session,
# group or parent they have; the dead-man carries LAUNCH_GUARD=ID. IDs are of one length: none is part of another.
# Run by the dead-man, this shell carries the mark too: it starts again without, so as not to find itself.
[ -z "$LAUNCH_GUARD" ] || { unset LAUNCH_GUARD && exec sh "$0" "$@"; }
id=$1 folder=$2 reason=$3
carrying() { # process ids, one a line
    if [ -e /proc/self/environ ]; then
        grep -lF "$1=$id" /proc/[0-9]*/environ 2>/dev/null | sed 's|^/proc/||; s|/environ$||'
    else
        ps -axEww -o pid=,command= 2>/dev/null | grep -F "$1=$id" | grep -v grep | sed 's/^ *\([0-9]*\).*/\1/'
    fi
}
end_all() { # 0 when none is left; a process that starts others while it dies makes more than one round necessary
    rounds=0
    while [ $rounds -lt 20 ]; do
        left=$(carrying "$1" | grep -vx $$)
        [ -z "$left" ] && return 0
        # shellcheck disable=SC2086 - several numbers
        kill -9 $left 2>/dev/null
        rounds=$((rounds + 1))
        [ $rounds -lt 3 ] || sleep 1
    done
    return 1
}
end_all LAUNCH_MACHINE || exit 1
[ -e "$folder/ended" ] || { echo "$reason" >"$folder/ended.new" && mv -f "$folder/ended.new" "$folder/ended"; }
end_all LAUNCH_GUARD
