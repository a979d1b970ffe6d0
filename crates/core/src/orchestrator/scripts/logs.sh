# shellcheck shell=sh
# Tells what this host's replicas have printed, in parts: what is asked for first is collected and kept, compressed, and each part
# of that is given by its place in it. So nothing is lost or told twice between two parts. Changes nothing else, waits for no lock.
read_table
# Of one invocation that is fetched by itself, Systems Manager gives 24,000 characters; a list of them gives a tenth of it.
# shellcheck disable=SC2034 # of lib.sh
RESULT_LIMIT=23000
# Characters of one part, which is base64 already and becomes a little longer by being sent.
PART=16000
# The most bytes of one host's lines, the newest, and of one line.
MOST=4000000
LONGEST=4000
KEPT=$RUN/logs

IFS=$TAB read -r offset <<FIRST
$(cut -f 1 "$WORK/own" | head -n 1)
FIRST
case ${offset:-} in
  '' | *[!0-9]*) fail other "this instance, $INSTANCE, is asked for nothing" ;;
esac

# lines REPLICA UNIT SINCE: the newest of what the journal has of it, the oldest first, as microseconds since 1970, replica and
# text. In reverse it is the newest that are counted, with every version of systemd. What Docker says on clearing a container away
# is not the container's.
lines() {
  replica=$1
  container=$(container "$2")
  since=$3
  set -- -u "$2" _TRANSPORT=stdout -n "$LINES" --reverse --all -o short-unix --no-pager --quiet
  [ "$since" = - ] || set -- "$@" --since "@$since"
  journalctl "$@" >"$WORK/journal" 2>"$WORK/journal.err" ||
    fail other "the journal cannot be read: $(last_words "$WORK/journal.err")"
  tac "$WORK/journal" | tr '\t' ' ' | cut -b"1-$LONGEST" |
    sed -n 's/^\([0-9]*\)\.\([0-9]\{6\}\) [^ ]* [^:]*: \(.*\)$/\1\2\t\3/p' |
    awk -F '\t' -v OFS='\t' -v replica="$replica" -v container="$container" \
      '$2 != container && $2 !~ /^Error( response from daemon)?: No such container: / { print "line", $1, replica, $2 }'
}

# Kept for a while only: whoever asked fetches the parts at once.
mkdir -p "$KEPT"
find "$KEPT" -type f -mmin +10 -delete 2>/dev/null
# A second delivery of this script finds what the first one has collected.
if [ "$offset" = 0 ] && [ ! -e "$KEPT/$ASKED" ]; then
  : >"$WORK/lines"
  while IFS=$TAB read -r _ name unit from; do
    lines "$name" "$unit" "$from" >>"$WORK/lines" || exit 1
  done <"$WORK/own"
  sort -t "$TAB" -k 2,2n -s "$WORK/lines" >"$WORK/sorted"
  all=$(wc -c <"$WORK/sorted")
  if [ "$all" -gt "$MOST" ]; then
    # The first line may be a part of one.
    { printf 'cut\n' && tail -c "$MOST" "$WORK/sorted" | sed 1d; } >"$WORK/newest"
    mv "$WORK/newest" "$WORK/sorted"
  fi
  gzip -9 -n -c "$WORK/sorted" | base64 | tr -d '\n' >"$KEPT/$ASKED.new"
  mv "$KEPT/$ASKED.new" "$KEPT/$ASKED" || fail other "the lines cannot be kept: $(last_words "$WORK/log")"
fi
[ -e "$KEPT/$ASKED" ] || fail other 'what was collected is not kept any more'

total=$(wc -c <"$KEPT/$ASKED" | tr -d ' ')
printf 'part\t%s\t%s\t%s\n' "$offset" "$total" "$(tail -c "+$((offset + 1))" "$KEPT/$ASKED" | head -c "$PART")" >"$WORK/report"
send "$WORK/report"
exit 0
