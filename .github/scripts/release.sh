#!/usr/bin/env bash
# The parts of a release that change or read the repository, in the order of release.yml.
#
#   release.sh check VERSION          refuses what cannot become this release
#   release.sh notes VERSION          prints what the changelog says of it
#   release.sh tag VERSION IMAGE      commits an action.yml that names IMAGE, and pushes the commit as the tag vVERSION
#   release.sh major VERSION          moves the tag of the major version (v1) there, unless a newer release has it
#
# IMAGE is registry/name:VERSION@sha256:… of the index. Runs in a checkout whose `origin` may be pushed to.
set -euo pipefail

fail() {
  echo "release.sh: $1" >&2
  exit 1
}

# What the changelog says under the heading of a version.
notes() {
  awk -v heading="## $1" '
    index($0, "## ") == 1 { inside = ($0 == heading || index($0, heading " ") == 1); next }
    inside' CHANGELOG.md
}

check() {
  [[ $version =~ ^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$ ]] || fail "\`$version\` is no version such as 1.2.3"
  local manifest
  manifest=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
  [ "$manifest" = "$version" ] || fail "Cargo.toml says version \`$manifest\`, not \`$version\`"
  [ -n "$(notes "$version")" ] || fail "CHANGELOG.md has no section \`## $version\`"
  [ -z "$(git ls-remote --tags origin "refs/tags/v$version")" ] || fail "there is a tag v$version already"
}

tag() {
  local image=$1
  [[ $image =~ :"$version"@sha256:[0-9a-f]{64}$ ]] || fail "\`$image\` is no image of version $version by its digest"
  [ "$(grep -c '^  image: ' action.yml)" = 1 ] || fail "action.yml does not name its image on one line"
  sed -i "s|^  image: .*|  image: docker://$image|" action.yml
  git -c user.name='github-actions[bot]' -c user.email=41898282+github-actions[bot]@users.noreply.github.com \
    commit --quiet --message "action: version $version runs its own image" action.yml
  git tag "v$version"
  git push --quiet origin "refs/tags/v$version"
}

major() {
  local major=${version%%.*} newest
  newest=$(git ls-remote --tags origin "refs/tags/v$major.*" | sed -n 's|.*refs/tags/v\([0-9.]*\)$|\1|p' | sort -V | tail -n 1)
  if [ "$newest" != "$version" ]; then
    echo "v$major stays: version $newest is newer"
    return
  fi
  git fetch --quiet origin "refs/tags/v$version:refs/tags/v$version"
  git tag --force "v$major" "v$version" >/dev/null
  git push --quiet --force origin "refs/tags/v$major"
}

usage='usage: release.sh check|notes|tag|major VERSION [IMAGE]'
part=${1:?$usage}
version=${2:?$usage}
case $part in
  check | major) "$part" ;;
  notes) notes "$version" ;;
  tag) tag "${3:?$usage}" ;;
  *) fail "$usage" ;;
esac
