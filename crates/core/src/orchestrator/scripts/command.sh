# shellcheck shell=sh
# Runs a command for somebody who looks on, and tells what it has printed since the last look and how it ended. It runs beside this
# script, as a unit of its own that outlives it; its output is kept in files, from which each look is given what stands behind its
# offset. So nothing is lost or told twice, however much it is. Waits for no lock: it is not skipper that changes the host here.
#
# Of one invocation that is fetched by itself, Systems Manager gives 24,000 characters; a list of them gives a tenth of it.
# shellcheck disable=SC2034 # of lib.sh
RESULT_LIMIT=23000
# Characters of both streams together, which are base64 already and become a little longer by being sent; and of the errors alone.
MOST=22000
MOST_ERRORS=8000
# Milliseconds that one look waits for news.
PATIENCE=8000

case $ASKED in
  '' | *[!0-9a-z-]*) fail other 'the command has no name' ;;
esac
KEPT=$ROOT/var/lib/skipper/commands
FOLDER=$KEPT/$ASKED
UNIT=skipper-command-$ASKED.service

if [ -n "$END" ]; then
  systemctl stop "$UNIT"
  case $(property ActiveState "$UNIT") in
    active | activating | deactivating) fail other "unit $UNIT does not stop" ;;
  esac
  rm -rf "$FOLDER"
  succeed
fi

# Kept for a while after its end: whoever asked fetches the rest at once.
{ mkdir -p "$KEPT" && chmod 700 "$KEPT"; } || fail other "no folder can be made: $(last_words "$WORK/log")"
find "$KEPT" -mindepth 2 -maxdepth 2 -name code -mmin +60 2>/dev/null | while read -r code; do
  rm -rf "${code%/code}"
done

# A second delivery of this script finds the command begun.
if [ "$OUT" = 0 ] && [ "$ERR" = 0 ] && mkdir "$FOLDER" 2>/dev/null; then
  printf '%s' "$COMMAND" | base64 -d | gzip -d -c >"$FOLDER/command" || fail other 'the command cannot be read'
  { : >"$FOLDER/out" && : >"$FOLDER/err"; } || fail other "its output cannot be kept: $(last_words "$WORK/log")"
  # It may replace its shell, and end it: its exit code is for the shell around that.
  cat >"$FOLDER/run" <<'RUN'
sh "$1/command" </dev/null >"$1/out" 2>"$1/err"
echo $? >"$1/code.new"
mv "$1/code.new" "$1/code"
RUN
  systemd-run --quiet --collect --unit="$UNIT" --description="a command of skipper's user" \
    --setenv=PATH="$PATH" --setenv=HOME=/root --working-directory=/ /bin/sh "$FOLDER/run" "$FOLDER" || {
    words=$(last_words "$WORK/log")
    rm -rf "$FOLDER"
    fail other "the command cannot be started: $words"
  }
  : >"$FOLDER/begun"
fi
[ -d "$FOLDER" ] || fail other 'what the command has printed is not kept any more'

# length FILE: how much of it there is.
length() {
  wc -c <"$FOLDER/$1" 2>/dev/null | tr -d ' '
}

# is_alive: whether systemd has it in hand.
is_alive() {
  case $(property ActiveState "$UNIT") in
    active | activating | deactivating) return 0 ;;
  esac
  return 1
}

state=running
end=$(($(now) + PATIENCE))
while :; do
  # Looked at first: it prints nothing after its end. A second delivery may find it not begun yet.
  is_alive || [ ! -e "$FOLDER/begun" ] || state=lost
  if [ -e "$FOLDER/code" ]; then
    state=$(cat "$FOLDER/code")
  fi
  out=$(length out)
  err=$(length err)
  [ "$state" = running ] && [ "${out:-0}" -le "$OUT" ] && [ "${err:-0}" -le "$ERR" ] && [ "$(now)" -lt "$end" ] || break
  pause 100
done

# part STREAM OFFSET TOTAL ROOM: what follows, as much as there is room for. What compresses well comes in larger pieces.
part() {
  take=$(($3 - $2))
  [ "$take" -le 262144 ] || take=262144
  while
    tail -c "+$(($2 + 1))" "$FOLDER/$1" | head -c "$take" | gzip -9 -n -c | base64 | tr -d '\n' >"$WORK/part.$1"
    [ "$(wc -c <"$WORK/part.$1")" -gt "$4" ]
  do
    take=$((take / 2))
  done
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$(cat "$WORK/part.$1")" >>"$WORK/report"
}
part err "$ERR" "${err:-0}" "$MOST_ERRORS"
part out "$OUT" "${out:-0}" "$((MOST - $(wc -c <"$WORK/part.err")))"
printf 'state\t%s\n' "$state" >>"$WORK/report"
send "$WORK/report"
exit 0
