#!/usr/bin/env bash
# Installs a server with the bootstrap and operates it: what an operator does in a year, within a minute. Runs inside a booted systemd
# (boot.sh); run.py examines the printed sections.
# python and bootstrap are set by common.sh.
# shellcheck disable=SC2154
# shellcheck source=/dev/null
source /mnt/materia/tests/systemd/common.sh

processes() { pgrep --full --uid materia '^/usr/local/bin/materia web' | wc -l; }
has_processes() { [ "$(processes)" = "$1" ]; }
main_pid() { systemctl show --property=MainPID --value materia-web; }
# Probes while a command runs, and reports both.
while_probing() {
    rm -f /stop
    "$python" /mnt/materia/tests/systemd/probe.py http://127.0.0.1:8000/ /stop &
    local probing=$! code
    sleep 0.5
    "$@"
    code=$?
    sleep 0.5
    touch /stop
    wait $probing
    return $code
}

section units
systemctl reload materia-web
systemctl start materia-backup
systemctl show --property=Id,ActiveState,Result,NRestarts materia-supervisor materia-web materia-backup materia-backup.timer materia-alert.timer
curl --silent --include http://127.0.0.1:8000/health
# Sent to the journal by then.
await sh -c 'journalctl --no-pager --unit=materia-web | grep -q "reloaded the dashboards"'
journalctl --no-pager --unit=materia-supervisor --unit=materia-web --unit=materia-backup

section restart
if [ -x /usr/bin/caddy ] && [ -e /lib/systemd/system/caddy.service ] && getent passwd caddy > /dev/null; then
    cp /mnt/materia/web/Caddyfile /etc/caddy/Caddyfile
    mkdir -p /etc/systemd/system/caddy.service.d
    printf '[Service]\nEnvironment=SITE=localhost CADDY_ADMIN=unix//var/lib/caddy/admin.sock\n' > /etc/systemd/system/caddy.service.d/override.conf
    systemctl daemon-reload
    systemctl start caddy
    await curl --silent --insecure --fail https://localhost/ready
    key=$(as_materia materia users key pro@example.test)
    rm -f /stop /go /go.open
    "$python" /mnt/materia/tests/systemd/probe.py https://localhost/ /stop \
        --download "https://localhost/api/v1/tables/big/download?format=csv" "$key" "$LINES_OF_BIG" /go &
    probing=$!
    await test -e /go.open
    for round in 1 2; do
        before=$(main_pid)
        began=$(date +%s%N)
        systemctl restart materia-web
        echo "restart $round exit $? milliseconds $((($(date +%s%N) - began) / 1000000)) other process $([ "$before" != "$(main_pid)" ] && echo yes || echo no)"
        sleep 0.5
    done
    # The process and its child; the first one's child still has the download, and the second one's nothing to wait for.
    await has_processes 3 && echo 'the download does not hold the new process back'
    sed -i 's/^\treverse_proxy/\theader X-Reloaded yes\n&/' /etc/caddy/Caddyfile
    systemctl reload caddy
    echo "reload of Caddy exit $?"
    await sh -c 'curl --silent --insecure --head https://localhost/health | grep -qi "^x-reloaded: yes"' && echo 'Caddy has the new settings'
    touch /go
    await has_processes 2 && echo 'the former process has ended'
    touch /stop
    wait $probing
    systemctl stop caddy
else
    echo 'skipped: Caddy is not installed'
fi

section 'full disk'
systemctl stop materia-web.socket materia-web
mount -t tmpfs -o size=4m,mode=700,uid="$(id -u materia)",gid="$(id -g materia)" tmpfs /data/materia/accounts
as_materia materia users seed > /dev/null
systemctl start materia-web.socket materia-web
await site_is_ready
sign_in() {
    local token
    token=$(sed -n 's/.*token=\([0-9a-f]*\).*/\1/p' <<<"$1")
    answers --request POST --header 'Sec-Fetch-Site: same-origin' --data "token=$token" http://127.0.0.1:8000/auth/verify
}
# Made while there is room.
links=()
for who in free starter pro admin; do links+=("$(as_materia materia users link $who@example.test)"); done
dd if=/dev/zero of=/data/materia/accounts/fill bs=4k status=none
# SQLite's files may have a few pages to spare.
for link in "${links[@]}"; do status=$(sign_in "$link"); [ "$status" = 303 ] || break; done
echo "sign-in while full $status"
# A test of writing is repeated every few seconds.
is_not_ready() { [ "$(answers http://127.0.0.1:8000/ready)" = 503 ]; }
await is_not_ready && echo 'not ready while full'
as_materia materia alert --json | grep -o '"condition":"[a-z_]*"' | sort | tr '\n' ' '
echo
before=$(main_pid)
rm /data/materia/accounts/fill
echo "the same link after that $(sign_in "$link")"
await site_is_ready && echo 'ready after that'
echo "restarted $([ "$before" = "$(main_pid)" ] && echo no || echo yes)"
systemctl stop materia-web.socket materia-web
umount /data/materia/accounts
systemctl start materia-web.socket materia-web
await site_is_ready

section upgrade
installed() { sha256sum /usr/local/bin/materia | cut -c1-16; }
running() { sha256sum "/proc/$(main_pid)/exe" | cut -c1-16; }
mkdir /mnt/new
cp /mnt/build/libduckdb*.so /mnt/new
printf '#!/bin/sh\nexit 1\n' > /mnt/new/materia
chmod 755 /mnt/new/materia
old=$(installed) before=$(main_pid)
while_probing "$bootstrap" --binary /mnt/new/materia > /upgrade.log
echo "a broken one exit $? $([ "$(installed) $(main_pid)" = "$old $before" ] && echo 'nothing changed')"
grep '^probes' /upgrade.log
# Another program that does the same: bytes after the end of the program are not read.
cp --remove-destination /mnt/build/materia /mnt/new/materia
printf x >> /mnt/new/materia
while_probing "$bootstrap" --binary /mnt/new/materia > /upgrade.log
echo "a good one exit $? $([ "$(installed)" != "$old" ] && [ "$(running)" = "$(installed)" ] && echo 'it runs')"
grep '^probes' /upgrade.log || cat /upgrade.log
while_probing "$bootstrap" --back-out > /upgrade.log
echo "back out exit $? $([ "$(installed)" = "$old" ] && [ "$(running)" = "$old" ] && echo 'the former one runs')"
grep '^probes' /upgrade.log || cat /upgrade.log
systemctl show --property=NRestarts materia-web materia-supervisor | sort --unique

section ownership
# Everything that systemd starts as root, or that decides what it starts.
as_materia find /etc/systemd /lib/systemd /usr/local /opt/materia /etc/materia /etc/caddy ! -type l -writable 2>/dev/null
systemctl show --property=User materia-supervisor materia-web materia-backup materia-alert | sort --unique | grep .
(cd /tmp && runuser -u materia -- materia status) | grep 'etc/materia/env'

section end
