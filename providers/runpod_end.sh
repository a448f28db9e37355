#!/bin/sh
# How a pod ends itself when its lease is over: door by door, until it dies. Each try is told in the container's log.
# A container must never just exit: it would be started again, and billed on. Run again every few seconds.
guard=/var/lib/launch
log() { echo "launch-end: $*" >>/proc/1/fd/1 2>/dev/null; }
[ -e "$guard/ending" ] && [ -n "$(find "$guard/ending" -mmin -1 2>/dev/null)" ] && exit 0
: >"$guard/ending"
[ -e /root/.launch/run ] && [ ! -e /root/.launch/run/stop ] && echo "the lease is over" >/root/.launch/run/stop
set -a
. "$guard/pod.env"
set +a
ask() { # ask METHOD PATH BODY: the status, or the reason why there is none
    python3 - "$@" <<'P'
import os, sys, urllib.error, urllib.request

method, path, body = sys.argv[1:4]
headers = {"Authorization": "Bearer " + os.environ.get("RUNPOD_API_KEY", ""), "Content-Type": "application/json"}
url = os.environ["LAUNCH_API"] + path
request = urllib.request.Request(url, method=method, data=body.encode() or None, headers=headers)
try:
    with urllib.request.urlopen(request, timeout=20) as answer:
        print(answer.status, "errors" if b'"errors"' in answer.read(4096) else "")
except urllib.error.HTTPError as refused:
    print(refused.code)
except OSError as trouble:
    print(type(trouble).__name__)
P
}
pod=$RUNPOD_POD_ID
log "delete $(ask DELETE "/v2/pods/$pod" "")"
sleep 3
log "action-terminate $(ask POST "/v2/pods/$pod/action" '{"action":"terminate"}')"
sleep 3
log "action-stop $(ask POST "/v2/pods/$pod/action" '{"action":"stop"}')"
sleep 3
log "graphql-terminate $(ask POST /graphql "{\"query\":\"mutation{podTerminate(input:{podId:\\\"$pod\\\"})}\"}")"
sleep 3
log "graphql-stop $(ask POST /graphql "{\"query\":\"mutation{podStop(input:{podId:\\\"$pod\\\"}){id}}\"}")"
sleep 3
if command -v runpodctl >/dev/null; then
    log "runpodctl $(runpodctl pod delete "$pod" 2>&1 || runpodctl remove pod "$pod" 2>&1 || runpodctl stop pod "$pod" 2>&1)"
fi
