# shellcheck shell=sh
# Stops and forgets units: stop, wait until nothing of them is left, destroy, and read the registry to see that they are gone.
read_table
exclusive
registry "$WORK/registry" || fail other "fleet does not answer: $(first_words "$WORK/registry.err")"

# remove UNIT: prints why where it fails.
remove() {
  halt "$1" || {
    printf 'unit %s does not stop\n' "$1"
    return
  }
  docker rm -f "$(container "$1")" >/dev/null 2>&1
  # The record goes before the registration: a unit without a record is read from fleet, while a record without its unit
  # would look like a registry that lost its data.
  rm -f "$UNITS/$1"
  end=$(($(now) + 10000))
  while
    state=$(desired "$1") || {
      printf 'fleet does not answer: %s\n' "$(first_words "$WORK/desired.$1.err")"
      return
    }
    [ -n "$state" ]
  do
    if [ "$(now)" -gt "$end" ]; then
      printf 'unit %s is still registered after it was destroyed\n' "$1"
      return
    fi
    fleet destroy "$1" >/dev/null 2>&1
    pause 50
  done
}

while read -r unit; do
  remove "$unit" >"$WORK/removed.$unit" 2>>"$WORK/log" &
done <"$WORK/own"
wait

cat "$WORK"/removed.* >"$WORK/problems" 2>/dev/null
if [ -s "$WORK/problems" ]; then
  fail other "$(paste -s -d ';' "$WORK/problems")"
fi
# With the environment its secrets and volumes go: hosts that previews share stay up for long.
if [ -n "$ENDS" ]; then
  rm -rf "$RUN/secrets/skipper/$SCOPE"
  docker volume ls --quiet >"$WORK/volumes" 2>"$WORK/volumes.err" ||
    fail other "volumes of the environment may stay, as they cannot be listed: $(first_words "$WORK/volumes.err")"
  grep "$OUR_VOLUMES" "$WORK/volumes" | xargs -r docker volume rm 2>"$WORK/volumes.err" ||
    fail other "volumes of the environment stay: $(first_words "$WORK/volumes.err")"
fi
succeed
