# shellcheck shell=sh
# Says what this host is and what runs on it. Changes nothing and waits for no lock, unless it is sent to raise the fence: then
# what an earlier run has under way here ends first, and nothing of that run begins any more.
#
# Without a fence its text depends on the scope alone, so that it can be kept as a document that a run asks for by name: who
# may have just that carried out can look, and can do nothing else. So it has no double braces either, which there are a
# parameter's.
[ -z "${FENCE:-}" ] || exclusive 200

# report WORDS: one line of the result, its fields given as arguments.
report() {
  line=$1
  shift
  for field in "$@"; do
    line=$line$TAB$field
  done
  printf '%s\n' "$line" >>"$WORK/report"
}

# finish_report: the result, whatever was found.
finish_report() {
  send "$WORK/report"
  exit 0
}

silent() {
  report fleet silent "$(printf '%s' "$1" | one_line)"
  finish_report
}

# shellcheck disable=SC2153 # STATE is a folder, of lib.sh
configured=$(cat "$STATE/configuration" 2>/dev/null)
report configured "${configured:--}"
read_fence
report fence "$RAISED"
part=$(cat "$STATE/member" 2>/dev/null || echo no)

# The machine's boot, and when the first process began: where that is a container's, the machine's own boot goes on.
report boot "$(cat /proc/sys/kernel/random/boot_id)-$(sed 's/.*) //' /proc/1/stat | cut -d ' ' -f 20)"

# etcd's members as they are told here, and which of them answer: side by side, as a dead one costs its whole timeout.
# shellcheck disable=SC2153 # HELD is a file, of lib.sh
if etcd_members 127.0.0.1 "$WORK/etcd"; then
  while IFS=$TAB read -r id at state; do
    (
      if [ "$state" = started ]; then
        state=silent
        health=$(curl -fsS --noproxy '*' --max-time 3 --url "http://$at:2379/health") || health=
        case $health in *'"health":"true"'*) state=healthy ;; esac
      fi
      printf 'etcd\t%s\t%s\n' "$at" "$state" >"$WORK/etcd.$id"
    ) &
  done <"$WORK/etcd"
  wait
  cat "$WORK"/etcd.[0-9a-f]* >>"$WORK/report"
elif [ "$part" = yes ] && [ -e "$STATE/etcd-bootstrapped" ]; then
  # It had data and has none: it does not come back.
  [ -d "$ETCD_DATA" ] || part=lost
elif [ "$part" = yes ] && [ -e "$HELD" ]; then
  # It was to be founded anew, and has never answered: there is nothing in it.
  part=lost
fi
report member "$part"
# All but the names that this host's containers have for themselves.
[ ! -e "$HOSTS_FILE" ] || report links "$(grep -v '^127\.0\.1\.1 ' "$HOSTS_FILE" | sha256sum | cut -c1-12)"

# What would be lost with this host, this scope's first. Volumes that nobody named have names of 64 hexadecimal digits.
if timeout 10 docker volume ls --quiet >"$WORK/volumes" 2>/dev/null; then
  # shellcheck disable=SC2046 # one field each
  report volumes $({ grep "$OUR_VOLUMES" "$WORK/volumes"; grep -v "$OUR_VOLUMES" "$WORK/volumes"; } | grep -v -x '[0-9a-f]\{64\}' | head -n 20)
fi

if [ ! -x "$ROOT/opt/bin/fleetctl" ]; then
  report fleet absent
  finish_report
fi

# Without Docker nobody can say which containers there are, and where it hangs, each question would.
ENGINE=yes
engine || {
  ENGINE=
  report engine "$(first_words "$WORK/engine")"
}

machine=$(cat "$ROOT/etc/machine-id")
registry "$WORK/files" || silent "$(first_words "$WORK/files.err")"
asked "$WORK/rows" list-units --no-legend --full --fields=unit,machine,active,sub || silent "$(first_words "$WORK/rows.err")"
asked "$WORK/machines" list-machines --no-legend --full --fields=machine,metadata || silent "$(first_words "$WORK/machines.err")"
grep "^$machine$TAB" "$WORK/machines" >"$WORK/machine" || silent "this host is not among fleet's machines"

# hosts FILE: the names of the hosts among fleet's machines.
hosts() {
  sed -n "s/.*[$TAB,]host=\([a-z0-9_-]*\).*/\1/p" "$1"
}

HOST=$(hosts "$WORK/machine")
[ -n "$HOST" ] || silent 'fleet does not say which host this is'

# This scope's units, as lines of unit, replica, host, desired state: the description says whose they are.
awk -F '\t' -v scope="$SCOPE" '{ split($3, d, " ") } d[2] == "on" && d[4] == "of" && d[5] == scope { print $1 "\t" d[1] "\t" d[3] "\t" $2 }' "$WORK/files" >"$WORK/scope"

# A name that is none of a unit would be another file here, and its unit would be left out of the report.
if grep -q -v "^[A-Za-z0-9][A-Za-z0-9_.:@-]*$TAB" "$WORK/scope"; then
  silent "fleetctl list-unit-files: $(grep -v "^[A-Za-z0-9][A-Za-z0-9_.:@-]*$TAB" "$WORK/scope" | head -n 1)"
fi

# A registry that lost everything looks like one that never had anything. What this host has on record tells the two apart:
# taken for an empty one, it would be deployed into while the containers it has forgotten are being stopped.
lost=
[ -s "$WORK/scope" ] || ! grep -q -s "^Description=.* of $SCOPE\$" "$UNITS"/*.service || lost=yes
# Those of other scopes tell the same, where nothing at all is registered.
[ -s "$WORK/files" ] || ! grep -q -s '^Description=' "$UNITS"/*.service || lost=yes
if [ -n "$lost" ]; then
  report fleet emptied "the registry is empty, and this host has units on record in $UNITS; etcd has lost its data"
  finish_report
fi
report fleet ready
report host "$HOST"

# Only what has a row on this machine has been taken up here; a row's columns come apart by one or more tabs.
awk -F '\t+' -v machine="$machine" '{ split($2, m, "/") } m[1] == machine { print $1 "\t" $3 }' "$WORK/rows" >"$WORK/active"
awk -F '\t' -v host="$HOST" '$3 == host { print $1 "\t" $2 "\t" $4 }' "$WORK/scope" >"$WORK/units"

# text UNIT: its unit file; fleet is asked only where this host has none on record.
text() {
  cat "$UNITS/$1" 2>/dev/null || cat "$ROOT/run/fleet/units/$1" 2>/dev/null || fleet cat "$1" 2>/dev/null
}

# One file of lines a unit, written side by side: a probe may take its whole timeout.
while IFS=$TAB read -r unit replica state; do
  (
    active=$(awk -F '\t' -v unit="$unit" '$1 == unit { print $2; exit }' "$WORK/active")
    printf 'unit\t%s\t%s\t%s\t%s\n' "$unit" "$replica" "$state" "${active:--}"
    text "$unit" >"$WORK/text.$unit"
    publish=$(sed -n 's/^  --publish \([0-9:]*\) \\$/\1/p' "$WORK/text.$unit" | tr '\n' ' ')
    label=$(sed -n 's/^  --label \("skipper.probe=.*"\) \\$/\1/p' "$WORK/text.$unit")
    printf 'text\t%s\t%s\t%s\n' "$unit" "${publish:--}" "${label:--}"
    if [ -n "$ENGINE" ] && inspect "$unit"; then
      printf 'container\t%s\t%s\t%s\t%s\n' "$unit" "$CONTAINER_IMAGE" "$CONTAINER_STATUS" "$CONTAINER_SINCE"
      if [ "$CONTAINER_STATUS" = running ]; then
        read_probe "$PROBE"
        if answer=$(probe); then
          printf 'health\t%s\thealthy\n' "$unit"
        else
          printf 'health\t%s\tunhealthy\t%s\n' "$unit" "$(printf '%s' "$answer" | one_line)"
        fi
      fi
    fi
  ) >"$WORK/report.$unit" &
done <"$WORK/units"
wait
while IFS=$TAB read -r unit _; do
  cat "$WORK/report.$unit" >>"$WORK/report"
done <"$WORK/units"

# The ports that units of other scopes have on this host, by what it has on record: previews may share it.
held=$(grep -L -s -x "Description=.* of $SCOPE" "$UNITS"/*.service | xargs -r sed -n 's/^  --publish \([0-9]*\):.*/\1/p')
# shellcheck disable=SC2086 # one field each
[ -z "$held" ] || report held $held

# Units of hosts that fleet does not list, with their hosts: whoever asks knows which of them exist and are only away.
hosts "$WORK/machines" >"$WORK/known"
awk -F '\t' 'NR == FNR { known[$1]; next } !($3 in known) { print "stray\t" $1 "\t" $3 }' "$WORK/known" "$WORK/scope" >>"$WORK/report"

# What does not get through whole loses its words, not its units.
fits "$WORK/report" || {
  awk -F '\t' -v OFS='\t' '$1 == "health" && $3 == "unhealthy" { $4 = substr($4, 1, 60) } { print }' "$WORK/report" >"$WORK/short"
  mv "$WORK/short" "$WORK/report"
}
finish_report
