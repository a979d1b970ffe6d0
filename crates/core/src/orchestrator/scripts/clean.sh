# shellcheck shell=sh
# Removes older images of some repositories from this host, and no others: of each the newest stay, and however old they are those
# that a container uses, that a unit on record runs, and that a release needs which may be rolled back to.
#
# Alone on the host, so that nothing stands between an image and its container: previews that share it have locks of their own.
exclusive 200 -x
# Of one invocation that is fetched by itself, Systems Manager gives 24,000 characters; a list of them gives a tenth of it.
# shellcheck disable=SC2034 # of lib.sh
RESULT_LIMIT=23000

# given WORD FILE: what the header carries in it, line by line.
given() {
  printf '%s' "$1" | base64 -d | gzip -d -c >"$2" || fail other 'what this run gives along cannot be read'
}
given "$REPOSITORIES" "$WORK/repositories"
given "$NEEDED" "$WORK/needed"

# template WORDS: with the double braces of Docker's templates in place of `<` and `>`; Systems Manager takes them for its own.
template() {
  printf '%s' "$1" | sed 's/</{</g; s/</{/g; s/>/}>/g; s/>/}/g'
}

# docker_says FILE ARGUMENTS: an answer of Docker in FILE; without it nothing is known, and nothing is removed.
docker_says() {
  file=$1
  shift
  docker "$@" >"$file" 2>"$file.err" || fail other "docker $1: $(last_words "$file.err")"
}

# occupied: the bytes that all images of the engine take together, each layer once; nothing where it does not tell. The first
# address is that of engines whose own version tells it by another name, the second that of engines before them.
occupied() {
  for address in v1.44/system/df system/df; do
    bytes=$(curl -sS --max-time 60 --unix-socket "$ROOT/var/run/docker.sock" "http://docker/$address?type=image" 2>/dev/null |
      sed -n 's/.*"LayersSize": *\([0-9][0-9]*\).*/\1/p')
    [ -z "$bytes" ] || break
  done
  printf '%s' "$bytes"
}

# What containers use, running or not.
docker_says "$WORK/containers" ps --all --quiet --no-trunc
: >"$WORK/used"
if [ -s "$WORK/containers" ]; then
  # shellcheck disable=SC2046 # one argument each
  docker inspect --type container --format "$(template '<.Image>')" $(cat "$WORK/containers") >"$WORK/used" 2>"$WORK/used.err" ||
    # One that has ended meanwhile uses nothing.
    ! grep -q -i -v 'no such' "$WORK/used.err" || fail other "docker inspect: $(last_words "$WORK/used.err")"
fi
# A unit between two starts has no container.
cat "$UNITS"/*.service 2>/dev/null | grep -o 'sha256:[0-9a-f]\{64\}' >>"$WORK/needed"

# Names of images, one line each: id, repository, tag, digest.
docker_says "$WORK/listed" images --no-trunc --digests --format "$(template "<.ID>$TAB<.Repository>$TAB<.Tag>$TAB<.Digest>")"

# older REPOSITORY: the ids of its images that go, with the size of each.
older() {
  awk -F '\t' -v of="$1" '$2 == of && !seen[$1]++ { print $1 }' "$WORK/listed" >"$WORK/ids"
  [ -s "$WORK/ids" ] || return 0
  # shellcheck disable=SC2046 # one argument each
  docker_says "$WORK/facts" inspect --type image --format "$(template "<.Created>$TAB<.Id>$TAB<.Size>")" $(cat "$WORK/ids")
  while IFS=$TAB read -r created id size; do
    printf '%s\t%s\t%s\n' "$(date -d "$created" +%s)" "$id" "$size"
  done <"$WORK/facts" | sort -t "$TAB" -k 1,1nr -k 2,2r | tail -n "+$((CUTOFF + 1))" | cut -f 2,3 >"$WORK/candidates"
  awk -F '\t' '
    FILENAME == ARGV[1] { stays[$1]; next }
    FILENAME == ARGV[2] { needed[$1]; next }
    FILENAME == ARGV[3] { if ($4 in needed) stays[$1]; next }
    !($1 in stays)' "$WORK/used" "$WORK/needed" "$WORK/listed" "$WORK/candidates"
}

# remove REPOSITORY ID SIZE: by every name that the image has there. With its last tag the others go, too, so what counts is what is
# left. Docker itself refuses where a container has come meanwhile.
remove() {
  awk -F '\t' -v id="$2" -v of="$1" '$1 == id && $2 == of {
    if ($3 != "<none>") print "1\t" of ":" $3
    if ($4 != "<none>") print "2\t" of "@" $4
  }' "$WORK/listed" | sort -u | cut -f 2 >"$WORK/names"
  while read -r name; do
    docker rmi "$name" >"$WORK/rmi" 2>&1 && continue
    docker inspect --type image --format x "$name" >/dev/null 2>&1 || continue
    printf 'stuck\t%s\t%s\n' "$name" "$(last_words "$WORK/rmi")" >>"$WORK/stuck"
    return
  done <"$WORK/names"
  printf 'removed\t%s\t%s\n' "$(tail -n 1 "$WORK/names")" "$3" >>"$WORK/removed"
}

before=$(occupied)
: >"$WORK/removed"
: >"$WORK/stuck"
while read -r repository; do
  older "$repository" >"$WORK/older"
  while IFS=$TAB read -r id size; do
    remove "$repository" "$id" "$size"
  done <"$WORK/older"
done <"$WORK/repositories"
after=$(occupied)

freed=-
if [ -n "$before" ] && [ -n "$after" ] && [ "$after" -le "$before" ]; then
  freed=$((before - after))
fi
# As many names as get through, and the number of the others.
all=$(wc -l <"$WORK/removed")
named=$all
while
  { head -n "$named" "$WORK/removed" && head -n 20 "$WORK/stuck"; } >"$WORK/report"
  [ "$named" -eq "$all" ] || printf 'unnamed\t%s\n' "$((all - named))" >>"$WORK/report"
  printf 'freed\t%s\n' "$freed" >>"$WORK/report"
  ! fits "$WORK/report" && [ "$named" -gt 0 ]
do
  named=$((named * 3 / 4))
done
send "$WORK/report"
exit 0
