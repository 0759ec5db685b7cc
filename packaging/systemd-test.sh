#!/bin/bash
# Installs the package in a throw-away Debian with a real systemd, and does to it what happens to a daemon in its life:
# kill -9, a restart and an upgrade under load, a writer that hangs, a failing start, removal, purge.
#   packaging/systemd-test.sh PACKAGE.deb
# Needs root and Linux with namespaces and overlayfs. Missing tools are installed with apt-get; the Debian tree is made by
# debootstrap from the mirror that apt is configured with, once, under target/. Where a machine does not allow for that, it
# says so and ends with 77; anything else that goes wrong is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
deb=$(realpath "${1:?the package to test}")
target=${CARGO_TARGET_DIR:-target}
place=$target/systemd-test
patience_s=60
senders=3
declare -i begun=$SECONDS

die() {
  echo "systemd-test: $*" >&2
  if [ -n "${nspawn:-}" ]; then
    in_box "systemctl --no-pager --full status 'waldo-syncd*'; journalctl --no-pager -n 60 -u 'waldo-syncd*'" >&2 || true
  fi
  exit 1
}
cannot() {
  echo "systemd-test: cannot run here: $*" >&2
  exit 77
}
step() { printf '%s systemd-test: %s\n' "[$((SECONDS - begun))s]" "$*"; }

# --- the box -------------------------------------------------------------------------------------------------------
[ "$(id -u)" = 0 ] || cannot "needs root: a systemd is booted in namespaces of its own"
missing=
command -v debootstrap >/dev/null || missing+=" debootstrap"
command -v systemd-nspawn >/dev/null || missing+=" systemd-container"
# shellcheck disable=SC2086
[ -z "$missing" ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null ||
  cannot "apt-get does not install$missing"

# What apt says of Debian's own repository, the one that is neither for security nor for updates.
of_debian() {
  apt-get indextargets --format "\$($1)" 'Created-By: Packages' 'Component: main' 'Origin: Debian' 'Label: Debian' | sed -n 1p
}
make_base() {
  local mirror suite
  mirror=$(of_debian REPO_URI)
  suite=$(of_debian CODENAME)
  [ -n "$mirror" ] && [ -n "$suite" ] || cannot "apt has no mirror configured, or apt-get update was never run"
  rm -rf "$place/base.part"
  debootstrap --variant=minbase \
    --include=systemd,systemd-sysv,dbus,procps,curl,ca-certificates,debconf,init-system-helpers \
    "$suite" "$place/base.part" "$mirror" >"$place/base.log" 2>&1 || cannot "debootstrap failed: $(tail -n 5 "$place/base.log")"
  mv "$place/base.part" "$place/base"
}

# The process in the box that is its PID 1, seen from here.
box_init() {
  local children
  children=$(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null) || return 1
  set -- $children
  [ $# -ge 1 ] && echo "$1"
}
in_box() { nsenter --target "$(box_init)" --all /bin/sh -c "$1"; }
put() { install -D -m 0644 "$1" "$place/box/root/$2"; }

# until COMMAND...: tries until it succeeds.
until_true() {
  local end=$((SECONDS + patience_s))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "never came: $*"
    sleep 0.1
  done
}
until_in_box() { until_true in_box "$1"; }

boot() {
  [ ! -e "$place/box" ] || die "$place/box is there: another run, or one that was killed; when none runs, remove it"
  trap shut_down EXIT INT TERM
  mkdir -p "$place/box"/{upper,work,root}
  # A file system of its own: layers on layers are not everywhere allowed.
  mount -t overlay overlay -o "lowerdir=$place/base,upperdir=$place/box/upper,workdir=$place/box/work" "$place/box/root" ||
    cannot "no overlay can be mounted on $place"
  systemd-nspawn --quiet --directory "$place/box/root" --register=no --keep-unit --private-network --boot \
    </dev/null >"$place/console" 2>&1 &
  nspawn=$!
  until_true box_init
  until_in_box 'systemctl is-system-running | grep -qE "running|degraded"'
}
shut_down() {
  local code=$?
  trap - EXIT INT TERM
  set +e
  if [ -n "${nspawn:-}" ]; then
    [ -n "$(box_init || true)" ] && in_box 'touch /test/stop; systemctl poweroff --force' >/dev/null 2>&1
    for _ in $(seq 100); do kill -0 "$nspawn" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$nspawn" 2>/dev/null
  fi
  mountpoint -q "$place/box/root" && umount --lazy "$place/box/root"
  rm -rf "$place/box"
  [ "$code" = 0 ] || echo "systemd-test: failed" >&2
  exit "$code"
}

# --- load ----------------------------------------------------------------------------------------------------------
# Each sender posts one webhook after another and notes "HTTP-CODE CURL-CODE CUSTOMER".
write_sender() {
  cat >"$place/box/root/sender" <<'SENDER'
#!/bin/sh
url=$(cat /test/url)
n=0
while [ ! -e /test/stop ]; do
  n=$((n + 1))
  id="$1-$n"
  http=$(curl -sS -m 30 -o /dev/null -w '%{http_code}' "$url" \
    -d "{\"event\":\"onboard\",\"customerId\":\"$id\",\"validation\":{\"status\":\"REVIEW\"}}" 2>/dev/null)
  echo "$http $? $id" >>"/test/sent-$1"
done
SENDER
  chmod +x "$place/box/root/sender"
}
load() {
  in_box "rm -f /test/stop; for i in $(seq -s ' ' $senders); do setsid /sender $1-\$i </dev/null >/dev/null 2>&1 & done"
  until_in_box "[ \$(cat /test/sent-$1-* | wc -l) -ge 30 ]"
}
# Ends the load when enough was sent after what was done to the daemon.
end_load() {
  local before
  before=$(in_box "cat /test/sent-$1-* | wc -l")
  until_in_box "[ \$(cat /test/sent-$1-* | wc -l) -ge $((before + 30)) ]"
  in_box 'touch /test/stop'
  until_in_box '! pgrep -f ^/bin/sh./sender'
  in_box "cat /test/sent-$1-*" >"$place/sent"
  printf '        %s sent, %s acknowledged, %s refused, %s broken off\n' "$(wc -l <"$place/sent")" \
    "$(grep -c '^200 ' "$place/sent")" "$(grep -c '^000 7 ' "$place/sent")" "$(grep '^000 ' "$place/sent" | grep -vc '^000 7 ')"
  [ "$(grep -c '^000 7 ' "$place/sent")" = 0 ] || die "$1: connections were refused"
  ! grep -E '^[1-9]' "$place/sent" | grep -v '^200 ' || die "$1: an answer that is not 200"
}
nothing_broken_off() { ! grep '^000 ' "$place/sent" || die "$1: connections were broken off"; }
# Every customer of an acknowledged webhook is there.
nothing_lost() {
  local missing
  in_box 'after=0
    while :; do
      page=$(curl -sS -m 30 "http://127.0.0.1:7312/v1/events?limit=1000&after=$after")
      echo "$page" | grep -o "\"customerId\":\"[^\"]*\"" | cut -d\" -f4
      next=$(echo "$page" | grep -o "\"next\":[0-9]*" | cut -d: -f2)
      [ -n "$next" ] && [ "$next" != "$after" ] || break
      after=$next
    done | sort -u' >"$place/kept"
  in_box 'cat /test/sent-* 2>/dev/null' | awk '$1 == 200 { print $3 }' | sort -u >"$place/acknowledged"
  missing=$(comm -13 "$place/kept" "$place/acknowledged" | wc -l)
  [ "$missing" = 0 ] || die "$1: $missing acknowledged webhooks are lost"
}
main_pid() { in_box 'systemctl show --value --property MainPID waldo-syncd'; }
is_new_and_ready() { # old pid
  local pid
  pid=$(main_pid)
  [ "$pid" != 0 ] && [ "$pid" != "$1" ] && in_box 'systemctl is-active --quiet waldo-syncd && curl -fsS -m 5 http://127.0.0.1:7312/readyz'
}

# --- the life of a daemon ------------------------------------------------------------------------------------------
mkdir -p "$place"
place=$(realpath "$place")
if [ ! -d "$place/base" ]; then
  step "making a Debian tree"
  make_base
fi
step "booting"
boot

step "install: the doors are open, the daemon is ready"
put "$deb" test/waldo-syncd.deb
in_box 'DEBIAN_FRONTEND=noninteractive dpkg -i /test/waldo-syncd.deb' >"$place/install.log" 2>&1 ||
  die "dpkg -i failed: $(cat "$place/install.log")"
until_true is_new_and_ready 0
[ "$(in_box 'stat -c "%a %U" /var/lib/waldo-syncd /var/lib/waldo-syncd/waldo-syncd.db /run/waldo-syncd/control.sock /run/waldo-syncd | xargs')" = \
  "700 waldo-syncd 600 waldo-syncd 660 waldo-syncd 750 waldo-syncd" ] || die "wrong rights: $(in_box 'ls -laR /var/lib/waldo-syncd /run/waldo-syncd')"
in_box 'waldo-syncd webhook-url 2>/dev/null' >"$place/url" || die "root is not shown the webhook URL"
put "$place/url" test/url
in_box 'waldo-syncd send onboard --customer by-hand --status REVIEW && waldo-syncd status && waldo-syncd check' >/dev/null ||
  die "the commands do not work for root without options"
write_sender

step "the sandbox of the unit holds"
pid=$(main_pid)
in_box "! grep -vqE 'lo:|face|Inter' /proc/$pid/net/dev" || die "the daemon has a network besides lo"
in_box "grep -q '^CapEff:.0*\$' /proc/$pid/status && grep -q '^NoNewPrivs:.1' /proc/$pid/status && grep -q '^Seccomp:.2' /proc/$pid/status" ||
  die "privileges are left"

step "the control socket lets in its group, nobody else"
in_box 'useradd --system app-in --groups waldo-syncd; useradd --system app-out' || die "no accounts"
track='waldo-syncd track by-group --operation fraud --customer by-hand'
in_box "setpriv --reuid app-in --regid app-in --init-groups $track" >/dev/null || die "the group is not let in"
in_box "setpriv --reuid app-out --regid app-out --init-groups $track" >/dev/null 2>&1 && die "a stranger is let in"

step "kill -9 under load: back by itself, no connection refused, nothing acknowledged lost"
load kill
for _ in 1 2 3 4 5 6; do
  pid=$(main_pid)
  in_box "kill -9 $pid"
  until_true is_new_and_ready "$pid"
done
end_load kill
nothing_lost kill

step "restart under load: no connection refused or broken off"
load restart
for _ in 1 2 3; do
  pid=$(main_pid)
  in_box 'systemctl restart waldo-syncd'
  until_true is_new_and_ready "$pid"
done
end_load restart
nothing_broken_off restart
nothing_lost restart

step "stopped: the next webhook starts it"
in_box 'systemctl stop waldo-syncd 2>/dev/null; ! systemctl is-active --quiet waldo-syncd && ls /run/waldo-syncd/control.sock' >/dev/null
in_box 'curl -fsS -m 30 "$(cat /test/url)" -d "{\"event\":\"onboard\",\"customerId\":\"waker\"}"' >/dev/null || die "not started by its socket"

step "frozen: the watchdog ends it, and it comes back"
pid=$(main_pid)
in_box "kill -STOP $pid"
until_true is_new_and_ready "$pid"
in_box 'journalctl --no-pager -u waldo-syncd | grep -q "Watchdog timeout"' || die "it was not the watchdog"
nothing_lost frozen

step "a start that fails, again and again, does not close the doors"
in_box 'cp /etc/waldo-syncd/config.toml /test/config.toml; echo "nonsense = 1" >>/etc/waldo-syncd/config.toml; systemctl restart waldo-syncd' >/dev/null 2>&1 || true
until_in_box '[ "$(systemctl show --value --property NRestarts waldo-syncd)" -ge 12 ]'
in_box '(curl -fsS -m 30 "$(cat /test/url)" -d "{\"event\":\"onboard\",\"customerId\":\"patient\"}" && echo 200 0 patient >/test/sent-patient) >/dev/null 2>&1 & true'
in_box 'cp /test/config.toml /etc/waldo-syncd/config.toml'
until_in_box '[ -e /test/sent-patient ]'
nothing_lost "failing start"

step "secrets: a rotation by root stays readable for the daemon; a credential goes before the file"
in_box 'waldo-syncd webhook-url --rotate' >"$place/rotated" 2>/dev/null || die "no rotation by root"
put "$place/rotated" test/rotated
until_in_box 'curl -fsS -m 5 "$(cat /test/rotated)" -d "{}"'
in_box 'install -d -m 0700 /etc/credstore; umask 077; echo 0123456789abcdef0123456789abcdef >/etc/credstore/waldo-syncd.webhook-secret; systemctl restart waldo-syncd
  curl -fsS -m 5 http://127.0.0.1:7311/webhooks/waldo/0123456789abcdef0123456789abcdef -d "{}" >/dev/null
  rm /etc/credstore/waldo-syncd.webhook-secret; systemctl restart waldo-syncd' || die "the credential is not taken"

step "outbound: with credentials it runs, reaches the daemon, and has no database"
in_box 'umask 077; echo key-0123456789abcdef >/etc/credstore/waldo-syncd.waldo-api-key; echo secret-0123456789abcdef >/etc/credstore/waldo-syncd.waldo-client-secret
  systemctl enable --quiet --now waldo-syncd-gateway.socket waldo-syncd-outbound.service' || die "outbound does not start"
until_in_box 'curl -sS -m 5 -o /dev/null http://127.0.0.1:7313/'
in_box 'journalctl --no-pager -u waldo-syncd-outbound | grep -q "no daemon answers"' && die "outbound does not reach the control socket"
outbound_pid=$(in_box 'systemctl show --value --property MainPID waldo-syncd-outbound')
in_box "ls /proc/$outbound_pid/root/var/lib/waldo-syncd/waldo-syncd.db" >/dev/null 2>&1 && die "outbound sees the database"

step "backup: the timer's service writes one, and keeps the newest seven"
in_box 'cd /var/backups/waldo-syncd && for day in 1 2 3 4 5 6 7 8; do touch waldo-syncd-2020010${day}T000000Z.db waldo-syncd-2020010${day}T000000Z.db.json; done
  touch unrelated.db; systemctl start waldo-syncd-backup.service' || die "the backup failed: $(in_box 'journalctl --no-pager -u waldo-syncd-backup')"
kept=$(in_box 'cd /var/backups/waldo-syncd; ls *Z.db | wc -l; ls *Z.db.json | wc -l; ls | grep -c 20200102; ls | grep -c 20200103; ls unrelated.db' | xargs)
[ "$kept" = "7 7 0 2 unrelated.db" ] || die "the wrong backups are kept: $kept: $(in_box 'ls -l /var/backups/waldo-syncd')"
in_box 'cd /var/backups/waldo-syncd; newest=$(ls *Z.db | tail -n 1); [ "$(stat -c "%a %U" $newest)" = "600 waldo-syncd" ] && waldo-syncd check $newest' >/dev/null ||
  die "the backup does not pass its check"

step "upgrade under load: no connection refused or broken off, the new version runs"
version=$(dpkg-deb -f "$deb" Version)
packaging/build-deb.sh --no-build --version "$version+next" --to "$place" >"$place/next" 2>"$place/next.log" || die "$(cat "$place/next.log")"
put "$(realpath "$(cat "$place/next")")" test/next.deb
load upgrade
pid=$(main_pid)
in_box 'DEBIAN_FRONTEND=noninteractive dpkg -i /test/next.deb' >"$place/install.log" 2>&1 || die "dpkg -i failed: $(cat "$place/install.log")"
until_true is_new_and_ready "$pid"
end_load upgrade
nothing_broken_off upgrade
nothing_lost upgrade

step "remove: everything has stopped, the data is there"
in_box 'waldo-syncd check' >/dev/null || die "the chain is not whole"
in_box 'DEBIAN_FRONTEND=noninteractive dpkg -r waldo-syncd' >"$place/install.log" 2>&1 || die "dpkg -r failed: $(cat "$place/install.log")"
in_box '! pgrep -x waldo-syncd && ! curl -s -m 5 http://127.0.0.1:7311/ && [ -e /var/lib/waldo-syncd/waldo-syncd.db ] && [ -e /etc/waldo-syncd/config.toml ]' ||
  die "something runs, or data is gone"

step "installed again, it goes on; a purge without an answer keeps the data, with a yes it takes it"
in_box 'DEBIAN_FRONTEND=noninteractive dpkg -i /test/next.deb' >"$place/install.log" 2>&1 || die "dpkg -i failed: $(cat "$place/install.log")"
until_true is_new_and_ready 0
nothing_lost "second installation"
in_box 'DEBIAN_FRONTEND=noninteractive dpkg -P waldo-syncd' >"$place/install.log" 2>&1 || die "dpkg -P failed: $(cat "$place/install.log")"
in_box '[ -e /var/lib/waldo-syncd/waldo-syncd.db ] && [ ! -e /etc/waldo-syncd ]' || die "the purge did not ask"
in_box 'DEBIAN_FRONTEND=noninteractive dpkg -i /test/next.deb && echo "waldo-syncd waldo-syncd/purge-data boolean true" | debconf-set-selections &&
  DEBIAN_FRONTEND=noninteractive dpkg -P waldo-syncd' >"$place/install.log" 2>&1 || die "dpkg -P failed: $(cat "$place/install.log")"
in_box '[ ! -e /var/lib/waldo-syncd ]' || die "the answer was yes, and the data is there"

step "upgrade of an older version with a database of each schema that was kept: nothing is lost"
packaging/build-deb.sh --no-build --version "0.0.1" --to "$place" >"$place/older" 2>"$place/older.log" || die "$(cat "$place/older.log")"
put "$(realpath "$(cat "$place/older")")" test/older.deb
for database in tests/fixtures/databases/schema-*.db; do
  put "$database" test/kept.db
  in_box 'export DEBIAN_FRONTEND=noninteractive
    dpkg -i /test/older.deb && systemctl stop waldo-syncd.service && rm -f /var/lib/waldo-syncd/waldo-syncd.db* &&
    install -o waldo-syncd -g waldo-syncd -m 0600 /test/kept.db /var/lib/waldo-syncd/waldo-syncd.db &&
    dpkg -i /test/waldo-syncd.deb' >"$place/install.log" 2>&1 || die "$database: $(cat "$place/install.log")"
  until_true is_new_and_ready 0
  told=${database%.db}.json
  head=$(sed -n 's/^ *"head": "\([0-9a-f]*\)".*/\1/p' "$told" | sed -n 1p)
  [ -n "$head" ] || die "$told names no head of the chain"
  for id in $(grep -o '"customerId": *"[^"]*"' "$told" | cut -d'"' -f4 | sort -u); do
    in_box "waldo-syncd customer '$id'" >/dev/null || die "$database: the customer $id is gone"
  done
  in_box "waldo-syncd check --head $head && waldo-syncd rebuild --diff" >/dev/null || die "$database: the upgraded file does not pass"
  in_box 'DEBIAN_FRONTEND=noninteractive dpkg -r waldo-syncd' >"$place/install.log" 2>&1 || die "dpkg -r failed: $(cat "$place/install.log")"
done
in_box 'systemctl --failed --no-legend --plain' | grep waldo && die "failed units are left"
step "all of it holds"
