#!/usr/bin/env bash
# Runs the pipelines, including the export, and the alerts in a loop.
#
# A round updates the checkout (if configured), then runs `materia pipeline run` and `materia alert`. After a successful round the supervisor sleeps for the
# interval plus jitter, after a failed one for a backoff that doubles with each failure. No failure ends the loop. Start it in the folder of materia.toml.
#
#   MATERIA                   the command                                                   [materia]
#   SUPERVISOR_PIPELINES      pipelines to run                                              [all]
#   SUPERVISOR_INTERVAL       seconds between rounds                                        [900]
#   SUPERVISOR_JITTER         random extra delay, in seconds, at most                       [60]
#   SUPERVISOR_BACKOFF        delay after the first failed round, in seconds                [60]
#   SUPERVISOR_BACKOFF_MOST   longest delay, in seconds                                     [3600]
#   SUPERVISOR_ROUND_MOST     seconds after which a round is stopped                        [14400]
#   SUPERVISOR_UPDATE         a git checkout to fast-forward before each round              [none]
#   SUPERVISOR_LOCK           lock file, for a single supervisor; its modification time is  [.supervisor.lock]
#                             the heartbeat that materia status and materia alert check
#
# No -e: every failure is handled where it occurs.
set -uo pipefail

materia=${MATERIA:-materia}
interval=${SUPERVISOR_INTERVAL:-900} jitter=${SUPERVISOR_JITTER:-60}
backoff=${SUPERVISOR_BACKOFF:-60} backoff_most=${SUPERVISOR_BACKOFF_MOST:-3600}
round_most=${SUPERVISOR_ROUND_MOST:-14400}
read -ra pipelines <<<"${SUPERVISOR_PIPELINES:---all}"
lock=${SUPERVISOR_LOCK:-.supervisor.lock}
beat_every=20 alert_most=120 update_most=300

say() { printf 'supervisor: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

for name in interval jitter backoff backoff_most round_most; do
    [[ ${!name} =~ ^[0-9]+$ ]] || die "SUPERVISOR_${name^^} is ${!name@Q}, which is not a number of seconds"
done
command -v "$materia" >/dev/null || die "$materia does not exist; set MATERIA to the command"
command -v flock >/dev/null || die "flock is missing; install it with: apt-get install util-linux"

exec 9>>"$lock" || die "cannot open $lock"
flock --nonblock 9 || die "another supervisor holds $lock"

# Heartbeat for materia (the lock's time) and, if started by it, systemd.
beat() {
    touch "$lock" || true
    notify_systemd WATCHDOG=1
}

notify_systemd() {
    [ -z "${NOTIFY_SOCKET:-}" ] || systemd-notify "$@" 9>&- || true
}

stopping='' child=''
stop() {
    stopping=yes
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
}
trap stop TERM INT HUP

# Runs a command to completion with heartbeats, and returns its exit code. The command does not inherit the lock.
run() {
    [ -z "$stopping" ] || return 143
    "$@" 9>&- &
    child=$!
    # The signal may have arrived before `child` was set.
    [ -z "$stopping" ] || kill -TERM "$child" 2>/dev/null || true
    local nap code
    while kill -0 "$child" 2>/dev/null; do
        beat
        sleep "$beat_every" 9>&- &
        nap=$!
        wait -n "$child" "$nap" 2>/dev/null
        kill "$nap" 2>/dev/null || true
        wait "$nap" 2>/dev/null
    done
    wait "$child"
    code=$?
    child=''
    return "$code"
}

update() {
    [ -n "${SUPERVISOR_UPDATE:-}" ] || return 0
    run timeout --kill-after=10 "$update_most" git -C "$SUPERVISOR_UPDATE" pull --quiet --ff-only \
        || say "$SUPERVISOR_UPDATE could not be updated; continuing with the current version"
}

round() {
    update
    run timeout --kill-after=60 "$round_most" "$materia" pipeline run "${pipelines[@]}"
    local code=$?
    [ -n "$stopping" ] || run timeout --kill-after=10 "$alert_most" "$materia" alert || say "alerts could not be sent; retrying after the next round"
    return "$code"
}

beat
notify_systemd --ready --status="supervising"
say "supervising ${pipelines[*]} every $interval s"
failures=0 wait_for=0
while [ -z "$stopping" ]; do
    round
    code=$?
    [ -z "$stopping" ] || break
    if [ "$code" = 0 ]; then
        failures=0
        wait_for=$((interval + RANDOM % (jitter + 1)))
        say "round succeeded; next round in $wait_for s"
    else
        # Capped: a larger shift would overflow.
        wait_for=$((backoff << (failures < 20 ? failures : 20)))
        ((wait_for <= backoff_most)) || wait_for=$backoff_most
        failures=$((failures + 1))
        say "round failed with code $code, $failures in a row; next round in $wait_for s"
    fi
    notify_systemd --status="$failures failed rounds in a row, next round in $wait_for s"
    run sleep "$wait_for"
done
# Not `--stopping`, which needs systemd 253.
notify_systemd STOPPING=1
say "stopped"
