#!/usr/bin/env bash
# Runs the pipelines, the export among them, and alerts; again and again.
#
# A round: update the checkout (if one is named), `materia pipeline run`, `materia alert`. After a round that succeeded it sleeps for the interval and some
# jitter; after one that failed for a while that doubles with each failure. Nothing that fails ends the loop. Start it where materia.toml is.
#
#   MATERIA                   the command                                                   [materia]
#   SUPERVISOR_PIPELINES      names of pipelines to run                                     [all]
#   SUPERVISOR_INTERVAL       seconds from one round to the next                            [900]
#   SUPERVISOR_JITTER         at most so many seconds more                                  [60]
#   SUPERVISOR_BACKOFF        seconds after the first failed round                          [60]
#   SUPERVISOR_BACKOFF_MOST   at most so many seconds                                       [3600]
#   SUPERVISOR_ROUND_MOST     a round that takes longer is stopped                          [14400]
#   SUPERVISOR_UPDATE         a git checkout to fast-forward before each round              [none]
#   SUPERVISOR_LOCK           held while it runs: there is one supervisor                   [.supervisor.lock]
#
# Without -e: what fails is looked at, one by one.
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
    [[ ${!name} =~ ^[0-9]+$ ]] || die "SUPERVISOR_${name^^} is ${!name@Q}, which is no number of seconds"
done
command -v "$materia" >/dev/null || die "$materia is not there; set MATERIA to the command"
command -v flock >/dev/null || die "flock is missing; install it with: apt-get install util-linux"

exec 9>>"$lock" || die "cannot open $lock"
flock --nonblock 9 || die "another supervisor holds $lock"

# Tells systemd, where it started us.
tell_systemd() {
    [ -z "${NOTIFY_SOCKET:-}" ] || systemd-notify "$@" 9>&- || true
}

stopping='' child=''
stop() {
    stopping=yes
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
}
trap stop TERM INT HUP

# Runs a command to its end, telling systemd meanwhile that we are alive, and returns its code. The lock is not for it to hold.
run() {
    [ -z "$stopping" ] || return 143
    "$@" 9>&- &
    child=$!
    # A signal that came before there was a child.
    [ -z "$stopping" ] || kill -TERM "$child" 2>/dev/null || true
    local nap code
    while kill -0 "$child" 2>/dev/null; do
        tell_systemd WATCHDOG=1
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
        || say "$SUPERVISOR_UPDATE could not be updated; going on with what is there"
}

round() {
    update
    run timeout --kill-after=60 "$round_most" "$materia" pipeline run "${pipelines[@]}"
    local code=$?
    [ -n "$stopping" ] || run timeout --kill-after=10 "$alert_most" "$materia" alert || say "what is news could not be told; it is tried again after the next round"
    return "$code"
}

tell_systemd --ready --status="supervising"
say "supervising ${pipelines[*]} every $interval s"
failures=0 wait_for=0
while [ -z "$stopping" ]; do
    round
    code=$?
    [ -z "$stopping" ] || break
    if [ "$code" = 0 ]; then
        failures=0
        wait_for=$((interval + RANDOM % (jitter + 1)))
        say "the round succeeded; the next one in $wait_for s"
    else
        # Not further than the shell can count.
        wait_for=$((backoff << (failures < 20 ? failures : 20)))
        ((wait_for <= backoff_most)) || wait_for=$backoff_most
        failures=$((failures + 1))
        say "the round failed with code $code, $failures in a row; the next one in $wait_for s"
    fi
    tell_systemd --status="$failures failed rounds in a row, the next one in $wait_for s"
    run sleep "$wait_for"
done
# As a word: the option came with systemd 253.
tell_systemd STOPPING=1
say "stopped"
