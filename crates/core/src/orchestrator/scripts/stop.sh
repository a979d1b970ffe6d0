# shellcheck shell=sh
# Stops units, and keeps them: they are registered still, and start again when they are asked to.
read_table
exclusive
registry "$WORK/registry" || fail other "fleet does not answer: $(first_words "$WORK/registry.err")"

while read -r unit; do
  { halt "$unit" || printf 'unit %s does not stop\n' "$unit" >"$WORK/stopped.$unit"; } 2>>"$WORK/log" &
done <"$WORK/own"
wait

cat "$WORK"/stopped.* >"$WORK/problems" 2>/dev/null
if [ -s "$WORK/problems" ]; then
  fail other "$(paste -s -d ';' "$WORK/problems")"
fi
succeed
