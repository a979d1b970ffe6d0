#!/bin/sh
# Makes the lab's base image where no registry can be reached: debootstrap, then `docker import`.
#
#   base.sh TAG        TAG names a Debian release, as the image it stands in for: debian:bookworm-slim
#
# The packages come from the machine's own apt sources (mirror, security mirror, proxy), and the image keeps
# those sources, so that `apt-get install` works in a `docker build` on top of it wherever it works here.
# Needs debootstrap and root (or sudo without a password).
set -eu

fail() {
  echo "base.sh: $1" >&2
  exit 1
}

tag=${1:?usage: base.sh TAG, for example base.sh debian:bookworm-slim}
suite=${tag##*:}
suite=${suite%-slim}

command -v debootstrap >/dev/null || fail 'debootstrap is not installed; try: apt-get install debootstrap'
if [ "$(id -u)" -ne 0 ]; then
  sudo -n true 2>/dev/null || fail 'debootstrap needs root; run this with sudo'
  exec sudo -n "$0" "$@"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# One line `URI SUITE COMPONENT` for every source of this release that apt knows, whatever format it is written in.
# shellcheck disable=SC2016 # the dollar signs are apt's
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
  awk -v suite="$suite" '$2 == suite || index($2, suite "-") == 1' | sort -u >"$work/sources"

mirror=$(awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }' "$work/sources")
if [ -z "$mirror" ]; then
  # A machine of another distribution or release: Debian's own mirror has every release.
  mirror=http://deb.debian.org/debian
  echo "$mirror $suite main" >"$work/sources"
fi

# A mirror behind TLS needs the machine's roots inside, too.
include=
if grep -q '^https:' "$work/sources"; then
  include=--include=ca-certificates
fi

# /tmp is often mounted nodev, where debootstrap refuses to work: use /var/tmp for the tree.
root=$(mktemp -d /var/tmp/lab-base.XXXXXX)
trap 'rm -rf "$work" "$root"' EXIT

# shellcheck disable=SC2086 # no option at all where `include` is empty
debootstrap --variant=minbase $include "$suite" "$root" "$mirror" >"$work/log" 2>&1 || {
  tail -n 20 "$work/log" >&2
  fail "debootstrap of $suite from $mirror failed"
}

awk '{ print "deb", $1, $2, $3 }' "$work/sources" >"$root/etc/apt/sources.list"
apt-config dump | grep -Ei '^Acquire::(http|https|ftp)::([^ ]*::)?proxy ' >"$root/etc/apt/apt.conf.d/90lab-proxy" || true
if [ -n "$include" ] && [ -s "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" ]; then
  cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/etc/ssl/certs/ca-certificates.crt"
fi

# What debian:*-slim does, too: no services started by packages, no package cache, no documentation.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
cat >"$root/etc/dpkg/dpkg.cfg.d/docker" <<'DPKG'
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
DPKG
echo 'APT::Install-Recommends "false";' >"$root/etc/apt/apt.conf.d/90lab-small"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
  "$root"/usr/share/man/* "$root"/usr/share/locale/*
: >"$root/etc/machine-id"
rm -f "$root/etc/resolv.conf"

tar -C "$root" -c . | docker import --change 'CMD ["bash"]' - "$tag"
