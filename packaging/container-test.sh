#!/bin/bash
# Builds the image that Containerfile describes and runs it as it says: a read-only root, no privilege, an account that is
# not root, a volume for the data.
#   packaging/container-test.sh
# No image is fetched. The Debian of the image is the tree that systemd-test.sh has made, and the stage that compiles runs
# on the same tree with a `cargo` that hands out target/release/waldo-syncd: compiling is proved by building that program.
# Needs root, podman and runc. Where a machine does not allow for that, it says so and ends with 77.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
base=$target/systemd-test/base
program=$target/release/waldo-syncd
patience_s=60

die() {
  echo "container-test: $*" >&2
  [ -z "${container:-}" ] || $podman logs --tail 30 "$container" >&2 || true
  exit 1
}
cannot() { echo "container-test: cannot run here: $*" >&2; exit 77; }

[ "$(id -u)" = 0 ] || cannot "needs root"
command -v podman >/dev/null && command -v runc >/dev/null || cannot "podman and runc are not installed"
[ -d "$base" ] || cannot "$base is not there; packaging/systemd-test.sh makes it"
[ -x "$program" ] || die "$program is not built"

work=$(mktemp -d "$(realpath "$target")/container-test.XXXXXX")
# A store of its own, gone with it. No network: it is not a matter of the image.
podman="podman --root $work/store --runroot $work/run --cgroup-manager cgroupfs --runtime runc --storage-driver overlay"
container=
end() {
  code=$?
  set +e
  [ -z "$container" ] || $podman rm --force --time 5 "$container" >/dev/null 2>&1
  $podman unmount --all >/dev/null 2>&1
  rm -rf "$work"
  exit "$code"
}
trap end EXIT INT TERM

echo "container-test: the bases"
# Without systemd and what else the image's Debian has not.
tar --create --directory "$base" --exclude=./proc/* --exclude=./sys/* --exclude=./dev/* --exclude=./var/cache/* \
  --exclude=./usr/share/doc --exclude=./usr/share/locale --exclude=./usr/lib/systemd . >"$work/base.tar"
$podman import --quiet "$work/base.tar" docker.io/library/debian:bookworm-slim >/dev/null 2>"$work/said" ||
  cannot "podman does not import: $(tail -n 3 "$work/said")"
mkdir "$work/cargo"
cp "$program" "$work/cargo/"
cat >"$work/cargo/cargo" <<'CARGO'
#!/bin/sh
[ "$*" = "build --release --locked" ] && install -D /handed/waldo-syncd target/release/waldo-syncd
CARGO
chmod 0755 "$work/cargo/cargo"
printf '%s\n' 'FROM docker.io/library/debian:bookworm-slim' 'COPY cargo /usr/bin/cargo' 'COPY waldo-syncd /handed/waldo-syncd' \
  >"$work/cargo/Containerfile"
build() { $podman build --quiet --pull=never --isolation chroot --layers=false "$@" 2>"$work/said"; }
build --tag docker.io/library/rust:1-bookworm "$work/cargo" >/dev/null || cannot "podman does not build: $(tail -n 3 "$work/said")"

echo "container-test: the image"
build --file packaging/Containerfile --tag waldo-syncd . >/dev/null || die "the image is not built: $(tail -n 20 "$work/said")"

echo "container-test: run with a read-only root, without privileges"
run="--read-only --read-only-tmpfs=false --cap-drop=all --security-opt=no-new-privileges --network=none --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024"
# shellcheck disable=SC2086
container=$($podman run --detach $run --volume waldo-syncd:/var/lib/waldo-syncd waldo-syncd 2>"$work/said") ||
  cannot "podman does not run containers: $(tail -n 3 "$work/said")"
inside() { $podman exec "$container" /usr/bin/waldo-syncd "$@"; }
end_at=$((SECONDS + patience_s))
until inside status >/dev/null 2>&1; do
  [ $SECONDS -lt $end_at ] || die "it is not ready: $(inside status 2>&1)"
  sleep 0.1
done
inside send onboard --customer contained --status REVIEW >/dev/null || die "it takes no webhook"
inside customer contained >/dev/null || die "it does not show what it took"
inside check >/dev/null || die "the file does not pass"
pid=$($podman inspect --format '{{.State.Pid}}' "$container")
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"; }
[ "$(status Uid | cut -f 1)" = 65532 ] || die "it runs as $(status Uid)"
[ "$(status CapEff)" = 0000000000000000 ] && [ "$(status CapBnd)" = 0000000000000000 ] && [ "$(status NoNewPrivs)" = 1 ] ||
  die "privileges are left: $(grep -E '^(Cap|NoNew)' "/proc/$pid/status")"
# Its root is read-only for root as well.
$podman exec --user 0 "$container" /bin/sh -c '! touch /usr/bin/new' 2>/dev/null || die "the root can be written to"

echo "container-test: stopped by its signal, started again with its volume, nothing is lost"
began=$SECONDS
$podman stop --time 20 "$container" >/dev/null
[ $((SECONDS - began)) -lt 15 ] && [ "$($podman inspect --format '{{.State.ExitCode}}' "$container")" = 0 ] ||
  die "it does not stop cleanly"
$podman start "$container" >/dev/null
end_at=$((SECONDS + patience_s))
until inside customer contained >/dev/null 2>&1; do
  [ $SECONDS -lt $end_at ] || die "what it took is gone"
  sleep 0.1
done
echo "container-test: all of it holds"
