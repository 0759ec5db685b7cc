#!/bin/sh
# Builds the Debian package. Needs Rust, cargo-deb (cargo install cargo-deb --locked) and dpkg-dev.
#   packaging/build-deb.sh [--no-build] [--version VERSION] [--to DIR]
# --no-build takes the release binary that is there, --version gives the package another version than Cargo.toml's.
# Prints the path of the package.
set -eu
cd "$(dirname "$0")/.."
build=yes version= to=
while [ $# -gt 0 ]; do
  case $1 in
  --no-build) build= ;;
  --version) version=$2; shift ;;
  --to) to=$2; shift ;;
  *) sed -n '2,5p' "$0" >&2; exit 2 ;;
  esac
  shift
done
die() { echo "build-deb: $*" >&2; exit 1; }
command -v cargo-deb >/dev/null || die "cargo-deb is missing: cargo install cargo-deb --locked"
target=${CARGO_TARGET_DIR:-target}
to=${to:-$target/packages}
parts=target/package-parts
[ -z "$build" ] || cargo build --release --locked --quiet >&2
program=$target/release/waldo-syncd
[ -x "$program" ] || die "$program is not built"
rm -rf "$parts" && mkdir -p "$parts/man" "$parts/completions" "$to"

"$program" man --to "$parts/man"
"$program" completions bash >"$parts/completions/waldo-syncd"
"$program" completions zsh >"$parts/completions/_waldo-syncd"
"$program" completions fish >"$parts/completions/waldo-syncd.fish"

# The example with the two places that the units decide, so that commands find them without options.
{
  echo "# systemd opens the doors of this installation: ingest at 127.0.0.1:7311, query at 127.0.0.1:7312. For other"
  echo "# addresses change waldo-syncd-ingest.socket and -query.socket (systemctl edit); the keys \`listen\` do not count."
  echo "# Secrets are best put into /etc/credstore, as waldo-syncd.webhook-secret and so on, not into this file."
  echo "#"
  sed -e 's|^#data_dir = ""$|data_dir = "/var/lib/waldo-syncd"|' \
    -e '/^\[control\]$/,/^\[/s|^#path = ""$|path = "/run/waldo-syncd/control.sock"|' packaging/config.toml
} >"$parts/config.toml"
[ "$(grep -cE '^(data_dir|path) = "/' "$parts/config.toml")" = 2 ] || die "packaging/config.toml has lost its keys"
"$program" --config "$parts/config.toml" config show >/dev/null

# The licences of every crate that is in the program, each text once, and that of the page's chart library.
crates=${CARGO_HOME:-$HOME/.cargo}/registry/src
cargo tree --locked --edges normal --prefix none --format '{p}: {l}' | sed 's/ (\*)$//' | sort -u |
  grep -v '^waldo-syncd ' >"$parts/crates"
{
  cat "$parts/crates"
  sed -E 's/^([^ ]+) v([^: ]+).*/\1-\2/' "$parts/crates" | while read -r crate; do
    find "$crates"/*/"$crate" -maxdepth 1 \( -iname 'licen[cs]e*' -o -iname 'notice*' -o -iname 'copying*' \) \
      -type f -exec sha256sum {} +
  done | sort -u -k1,1 | while read -r _ text; do
    printf '\n\n=== %s\n\n' "$(basename "$(dirname "$text")")"
    cat "$text"
  done
  printf '\n\n=== uPlot, in the status page\n\n'
  cat src/http/page/vendor/uPlot.LICENSE
} >"$parts/third-party-licences"
[ "$(grep -c '^=== ' "$parts/third-party-licences")" -gt 20 ] || die "the licences of the crates were not found"

cargo deb --locked --no-build --quiet ${version:+--deb-version "$version"} --output "$parts/package.deb" >&2
deb=$(realpath "$to")/waldo-syncd_$(dpkg-deb -f "$parts/package.deb" Version)_$(dpkg-deb -f "$parts/package.deb" Architecture).deb
mv "$parts/package.deb" "$deb"
# Programs of this kind of processor are packed a tenth tighter when the packer knows them as such.
if [ "$(dpkg-deb -f "$deb" Architecture)" = amd64 ]; then
  (cd "$parts" && ar x "$deb" data.tar.xz && xz -d data.tar.xz && xz --x86 --lzma2=preset=9e data.tar && ar r "$deb" data.tar.xz) >&2
fi
echo "build-deb: $(stat -c %s "$deb") bytes" >&2
echo "$deb"
