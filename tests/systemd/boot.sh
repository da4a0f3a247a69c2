#!/usr/bin/env bash
# Boots systemd as the first process of a container made of namespaces, and prints what tests/systemd/SCENARIO.sh writes in it.
#
#   SCENARIO=server BUILD=path/to/target/debug LAKEHOUSE=lakehouse.duckdb LINES_OF_BIG=60000 [LOWER=/] unshare --mount --fork tests/systemd/boot.sh
#
# Its root is LOWER, a Debian root such as the machine's own, below a disposable overlay: with a checkout of this repository in /mnt/materia,
# and the built command and the lakehouse in /mnt/build. Network, processes, units and cgroups of the machine are not visible in it.
# run.py calls it.
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${SCENARIO:?}" "${BUILD:?}" "${LAKEHOUSE:?}" "${LINES_OF_BIG:?}"

work=$(mktemp -d)
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root" "$work/build"
cp "$BUILD/materia" "$BUILD"/libduckdb*.so "$LAKEHOUSE" "$work/build"
mount -t overlay overlay -o "lowerdir=${LOWER:-/},upperdir=$work/upper,workdir=$work/work" "$work/root"
cd "$work/root"
mkdir -p mnt/materia mnt/build
mount --bind "$work/build" mnt/build
git -C "$checkout" ls-files -z --cached --others --exclude-standard | tar -C "$checkout" --null --files-from - --ignore-failed-read -c | tar -C mnt/materia --no-same-owner -x
export GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test@example.test GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test@example.test
git -C mnt/materia init --quiet
git -C mnt/materia add --all
git -C mnt/materia commit --quiet --message first

# Units of the machine itself are not started: only those that the bootstrap installs, and the ones that systemd has.
rm -rf etc/systemd/system
mkdir -p etc/systemd/system/multi-user.target.wants old
for unit in systemd-sysctl systemd-modules-load systemd-remount-fs systemd-update-utmp openipmi; do
    ln -s /dev/null etc/systemd/system/$unit.service
done
ln -s /lib/systemd/system/multi-user.target etc/systemd/system/default.target
# What the bootstrap downloads is not what is tried.
[ -e usr/local/bin/uv ] || { printf '#!/bin/sh\n' > usr/local/bin/uv; chmod 755 usr/local/bin/uv; }
mkdir -p usr/share/ca-certificates etc/ssl/certs
[ -e etc/ssl/certs/ca-certificates.crt ] || : > etc/ssl/certs/ca-certificates.crt
for at in run tmp dev; do mount -t tmpfs tmpfs $at; done
for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r name major minor <<<"$device"
    mknod -m 666 "dev/$name" c "$major" "$minor"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

cat > etc/systemd/system/server.service <<UNIT
[Service]
Type=oneshot
TimeoutStartSec=infinity
Environment=LINES_OF_BIG=$LINES_OF_BIG
StandardOutput=append:/server.log
StandardError=inherit
ExecStart=/bin/bash /mnt/materia/tests/systemd/$SCENARIO.sh
ExecStopPost=systemctl --no-block poweroff
UNIT
ln -s ../server.service etc/systemd/system/multi-user.target.wants/

# A cgroup of its own, wherever the machine has the second version of the hierarchy.
hierarchy=$(findmnt --noheadings --types cgroup2 --output TARGET | head -n 1)
[ -n "$hierarchy" ] || { echo 'skipped: no cgroup2 here' >&2; exit 0; }
group=$hierarchy/materia-test-$$
mkdir "$group"
trap 'find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true' EXIT
# systemd writes neither to the machine's /sys nor to its kernel settings.
# shellcheck disable=SC2016
timeout --kill-after=5 "${BOOT_SECONDS:-400}" sh -c 'echo $$ > "$1/cgroup.procs"
    exec unshare --pid --mount --fork --kill-child --cgroup --uts --ipc --net sh -c "
        mount -t proc proc proc && mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys &&
        mount -t sysfs -o ro sysfs sys && mount -t cgroup2 cgroup2 sys/fs/cgroup && pivot_root . old && cd / && umount -l old &&
        exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null"' boot "$group" >&2 || true
cat server.log
