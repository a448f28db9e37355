#!/bin/sh
# What a machine at Lambda does when its lease is over: it makes the work safe, and ends itself where it can.
# Power-off would not end the bill there, and would take the results out of reach. Run again every few seconds.
guard=/var/lib/launch
for run in /home/*/.launch/run /root/.launch/run; do
    [ -d "$run" ] && [ ! -e "$run/stop" ] && echo "the lease is over" >"$run/stop"
done
[ -e "$guard/over" ] || { date -u +%FT%TZ >"$guard/over"; sync; }
[ -r "$guard/end.json" ] || exit 0
exec python3 - "$guard/end.json" <<'P'
import json, sys, urllib.request

told = json.load(open(sys.argv[1]))
headers = {"Authorization": "Bearer " + told["key"], "Content-Type": "application/json"}


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(told["url"] + path, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["data"]


mine = [one["id"] for one in ask("/instances") if one.get("name") == told["name"]]
ask("/instance-operations/terminate", {"instance_ids": mine})
P
