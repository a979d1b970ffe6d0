# shellcheck shell=sh
# Fetches this host's images, side by side; what is there already is left alone. Waits for no lock and holds none: it may run
# beside the configuration, and a download that hangs keeps nothing else from the host.
read_table
# Nothing is raised: the host is being configured meanwhile.
[ -z "${FENCE:-}" ] || behind_fence

# pull IMAGE FILE: its last words are in FILE where it fails.
pull() {
  docker image inspect "$1" >/dev/null 2>&1 && return
  # Once more where the network hiccuped: a pull goes on with the layers it has.
  timeout 900 docker pull --quiet "$1" >"$2" 2>&1 || timeout 900 docker pull --quiet "$1" >"$2" 2>&1 ||
    printf '%s\n' "$1" >"$2.failed"
}

sort -u "$WORK/own" >"$WORK/images"
number=0
while read -r image; do
  number=$((number + 1))
  pull "$image" "$WORK/pull.$number" &
done <"$WORK/images"
wait

for failed in "$WORK"/pull.*.failed; do
  [ -e "$failed" ] || continue
  words=$(last_words "${failed%.failed}")
  case $words in
    *'no space left'*) kind=disk-full ;;
    *'no matching manifest'* | *'does not match the specified platform'*) kind=platform ;;
    *) kind=pull ;;
  esac
  fail "$kind" "$(cat "$failed"): $words"
done
succeed
