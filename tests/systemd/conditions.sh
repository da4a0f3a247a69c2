#!/usr/bin/env bash
# Breaks one component after the other on a running server, and measures how long it takes until a webhook has been told, and until it has been
# told that it is over. The thresholds of [alerts] and the timer are shortened to seconds: what is measured is the rest. See docs/operations.md,
# "within", which adds the installed ones.
# python is set by common.sh, and what breaks a component is evaluated later.
# shellcheck disable=SC2154,SC2016
# shellcheck source=/dev/null
source /mnt/materia/tests/systemd/common.sh

interval=5
data=/data/materia toml=/srv/materia/infra/beanflows/materia.toml
cat > /receiver.py <<'PY'
import http.server, json, time
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open("/told", "a") as told:
            print(f"{time.time():.3f} {body['status']} {body['condition']}", file=told)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 9999), Receiver).serve_forever()
PY
systemd-run --quiet --unit=receiver "$python" /receiver.py
printf 'ALERT_WEBHOOK_URL=http://127.0.0.1:9999/\n' >> /etc/materia/env
cat >> $toml <<'TOML'

[alerts]
cool_down = "1ms"
supervisor_silent = "25s"
pipeline_running = "1s"
lakehouse_held = "1s"
mail_delayed = "1s"

[pipelines.broken]
command = ["false"]

[pipelines.hanging]
command = ["sleep", "600"]
TOML
mkdir -p /etc/systemd/system/materia-alert.timer.d
printf '[Timer]\nOnActiveSec=\nOnUnitInactiveSec=\nOnActiveSec=1s\nOnUnitInactiveSec=%ss\nAccuracySec=100ms\n' $interval > /etc/systemd/system/materia-alert.timer.d/often.conf
systemctl daemon-reload
systemctl restart materia-alert.timer materia-web materia-supervisor
await site_is_ready
: > /told

seconds_until() { # EDGE CONDITION SINCE: waits for a message, and prints how many seconds after SINCE it came
    local at
    for _ in $(seq 1200); do
        at=$(awk -v since="$3" -v edge="$1" -v condition="$2" '$1 >= since && $2 == edge && $3 ~ "^" condition { print $1; exit }' /told)
        [ -z "$at" ] || { awk "BEGIN { printf \"%.1f\", $at - $3 }"; return; }
        sleep 0.1
    done
    printf never
}
# Breaks something and mends it again: CONDITION, WHAT, HOW TO BREAK, HOW TO MEND.
broken() {
    local began noticed
    began=$(date +%s.%N)
    eval "$3" > /broken.log 2>&1
    noticed=$(seconds_until firing "$1" "$began")
    began=$(date +%s.%N)
    eval "$4" > /broken.log 2>&1
    printf '%-20s %-48s noticed %6s s   over %6s s\n' "$1" "$2" "$noticed" "$(seconds_until resolved "$1" "$began")"
}
publish() { as_materia materia export --force --quiet; }
round() { systemctl restart materia-supervisor; }
pipelines() { sed -i "s/^SUPERVISOR_PIPELINES=.*/SUPERVISOR_PIPELINES=$1/" /etc/materia/env; round; }

section conditions
broken not_served 'the served file is removed' \
    'mv $data/analytics.duckdb /away.duckdb; mv $data/analytics.generations /away' \
    'mv /away $data/analytics.generations; mv /away.duckdb $data/analytics.duckdb'
broken stray_log 'a program writes to the served file' \
    'echo x > $data/analytics.duckdb.wal; chown materia: $data/analytics.duckdb.wal' 'rm -f $data/analytics.duckdb.wal'
broken stale 'nothing is exported for status.max_age' \
    'echo MATERIA_MAX_AGE=1s >> /etc/materia/env' 'sed -i /^MATERIA_MAX_AGE/d /etc/materia/env'
broken export_failed 'the lakehouse is damaged' \
    'cp $data/lakehouse.duckdb /good; head -c 100000 /dev/urandom > $data/lakehouse.duckdb; round' \
    'cat /good > $data/lakehouse.duckdb; round'
broken export_refused 'the lakehouse has lost a table' \
    'as_materia materia demo /tmp/other; cat /tmp/other/lakehouse.duckdb > $data/lakehouse.duckdb; round' \
    'cat /good > $data/lakehouse.duckdb; round'
broken lakehouse_held 'a process keeps the lakehouse open' \
    'systemd-run --quiet --unit=holder --uid=materia "$python" -c "import fcntl, time; file = open(\"$data/lakehouse.duckdb\", \"r+\"); fcntl.lockf(file, fcntl.LOCK_EX); time.sleep(600)"' \
    'systemctl stop holder'
broken pipeline_failed 'a pipeline fails' 'pipelines broken' 'pipelines export_serving; as_materia materia pipeline run broken; sed -i "s/\"false\"/\"true\"/" $toml; as_materia materia pipeline run broken'
broken pipeline_hung 'a pipeline hangs' 'pipelines hanging' 'pipelines export_serving'
broken supervisor_stopped 'the supervisor is stopped' 'systemctl stop materia-supervisor' 'systemctl start materia-supervisor'
broken backup 'the nightly backup fails' \
    'chmod 0 $data/accounts/accounts.db; systemctl start materia-backup' 'chmod 600 $data/accounts/accounts.db; systemctl start materia-backup'
broken site_down 'the site is stopped' \
    'systemctl stop materia-web.socket materia-web' 'systemctl start materia-web.socket materia-web'
broken site_down 'the site hangs' 'pkill -STOP --uid materia -f "^/usr/local/bin/materia web"' 'pkill -CONT --uid materia -f "^/usr/local/bin/materia web"'
broken mail_failing 'the mail server does not respond' \
    'curl --silent --header "Sec-Fetch-Site: same-origin" --data email=ada@example.com http://127.0.0.1:8000/auth/login' \
    'systemd-run --quiet --unit=mail "$python" -c "import smtpd, asyncore; smtpd.DebuggingServer((\"127.0.0.1\", 2525), None); asyncore.loop()"; sed -i "s|^SMTP_URL=.*|SMTP_URL=smtp://127.0.0.1:2525|" /etc/materia/env; systemctl restart materia-web'
start_postgres() {
    systemd-run --quiet --unit=materia-postgres --uid=materia --working-directory=/srv/materia/infra/beanflows \
        --property=EnvironmentFile=/etc/materia/env --property=Type=notify --property=NotifyAccess=all /usr/local/bin/materia postgres
}
printf '\n[postgres]\nsocket = "%s"\n' $data >> $toml
start_postgres
broken postgres_down 'the PostgreSQL endpoint is stopped' 'systemctl stop materia-postgres' 'start_postgres'
systemctl stop materia-web.socket materia-web
mount -t tmpfs -o size=4m,mode=700,uid="$(id -u materia)",gid="$(id -g materia)" tmpfs $data/accounts
as_materia materia users seed > /dev/null
systemctl start materia-web.socket materia-web
await site_is_ready
broken accounts_down 'the disk of the accounts is full' \
    'dd if=/dev/zero of=$data/accounts/fill bs=4k' 'rm $data/accounts/fill'
# A disk of its own, with room for several exports.
systemctl stop materia-web.socket materia-web materia-supervisor materia-postgres materia-alert.timer
umount $data/accounts
size=$(($(du -sm $data | cut -f1) * 3 + 200))
mv $data /data/former
mkdir $data
mount -t tmpfs -o size=${size}m tmpfs $data
cp -a /data/former/. $data
systemctl start materia-web.socket materia-web materia-supervisor materia-alert.timer
start_postgres
await site_is_ready
broken disk_nearly_full 'other files fill the disk' 'dd if=/dev/zero of=$data/fill bs=1M' 'rm $data/fill'
section end
