# shellcheck shell=sh
# Starts this host's replicas side by side, and waits until each is healthy or its own deadline has passed.
read_table
exclusive
registry "$WORK/registry" || fail other "fleet does not answer: $(first_words "$WORK/registry.err")"
mkdir -p "$UNITS" "$WORK/text" "$WORK/outcome" "$WORK/journal"

# Milliseconds that fleet and Docker may take until a container is there; only then does a probe's own time begin.
APPEARANCE=20000
# Milliseconds between two looks at a container on its way up, and how many more it gets at that pace: what is ready at
# once does not wait for its second try.
LOOK=100
LOOKS=10
# Milliseconds that fleetd, which looks every five seconds, gets to hand a unit file to systemd ahead of its start.
PRELOAD=8000

awk -F '\t' -v folder="$WORK/text/" '$1 == "unit" { file = folder $2; sub(/^[^\t]*\t[^\t]*\t/, ""); print >> file }' "$WORK/own"

# options FILE: a unit file as fleet keeps it, without blank lines.
options() {
  grep -v '^[[:space:]]*$' "$1"
}

# register UNIT: sees that fleet has the unit with exactly this text. A changed text under a known name is kept silently by
# fleet, and a refused one is told on standard error at most, so both are read back.
register() {
  text=$WORK/text/$1
  [ -e "$text" ] || text=$UNITS/$1
  state=$(desired "$1") || { REASON="fleet does not answer"; return 1; }
  if [ -z "$state" ]; then
    if [ ! -e "$text" ]; then
      REASON='fleet does not know it, and this host has no record of it'
      return 1
    fi
    mkdir -p "$WORK/submit.$1"
    cp "$text" "$WORK/submit.$1/$1"
    fleet submit "$WORK/submit.$1/$1" >"$WORK/submitted.$1" 2>&1
    end=$(($(now) + 5000))
    while state=$(desired "$1"); [ -z "$state" ]; do
      if [ "$(now)" -gt "$end" ]; then
        REASON="fleet did not register it: $(last_words "$WORK/submitted.$1")"
        return 1
      fi
      pause 100
    done
  fi
  [ -e "$WORK/text/$1" ] || return 0
  fleet cat "$1" >"$WORK/kept.$1" 2>>"$WORK/log"
  options "$WORK/kept.$1" >"$WORK/kept.$1.options"
  options "$WORK/text/$1" | cmp -s - "$WORK/kept.$1.options" || {
    REASON='fleet keeps another text under this name'
    return 1
  }
  # On record from here on: with an empty registry this is all that tells what ran here.
  { cp "$WORK/text/$1" "$UNITS/$1.new" && mv -f "$UNITS/$1.new" "$UNITS/$1"; } 2>"$WORK/record.$1" || {
    REASON="its unit file cannot be kept on record: $(last_words "$WORK/record.$1")"
    return 1
  }
}

# name UNIT: a container that finds others by this host's file finds itself there, too.
name() {
  hostname=$(sed -n 's/^  --hostname \([a-z0-9_-]*\) \\$/\1/p' "$UNITS/$1")
  if [ -n "$hostname" ] && [ -e "$HOSTS_FILE" ] && ! grep -q -x "127\.0\.1\.1 $hostname" "$HOSTS_FILE"; then
    printf '127.0.1.1 %s\n' "$hostname" >>"$HOSTS_FILE"
  fi
}

# launch UNIT: has fleet want it, and sees that it does.
launch() {
  end=$(($(now) + 10000))
  while state=$(desired "$1"); [ "$state" != launched ]; do
    if [ "$(now)" -gt "$end" ]; then
      REASON="fleet does not launch it: $(last_words "$WORK/launch.$1")"
      return 1
    fi
    fleet start --no-block "$1" >"$WORK/launch.$1" 2>&1
    pause 50
  done
}

# preload UNIT: has fleetd hand the unit file to systemd while its predecessor still serves; if that takes too long, the
# start does it.
preload() {
  [ "$(desired "$1")" = inactive ] || return 0
  fleet load --no-block "$1"
  end=$(($(now) + PRELOAD))
  until [ "$(property LoadState "$1")" = loaded ] || [ "$(now)" -gt "$end" ]; do
    pause 100
  done
}

# nudge UNIT: starts what fleet wants launched, systemd has, and does not run. fleetd does so within five seconds where it
# knows; of a global unit that died it does not know, and nothing that fleetctl says would tell.
nudge() {
  case "$(property LoadState "$1") $(property ActiveState "$1")" in
    'loaded failed' | 'loaded inactive')
      systemctl reset-failed "$1"
      systemctl start --no-block "$1"
      ;;
  esac
}

# state_words UNIT SINCE: what systemd and Docker know of a unit that does not serve.
state_words() {
  printf '; its unit is %s (%s), restarted %s times' "$(property ActiveState "$1")" "$(property SubState "$1")" "$(property NRestarts "$1")"
  [ -z "$EXITED" ] || printf ', last exit code %s' "$EXITED"
  if [ -n "$(timeout 5 docker events --since "$(seconds "$2")" --until "$(seconds "$(now)")" --filter "container=$(container "$1")" --filter event=oom --format x 2>/dev/null)" ]; then
    printf ', out of memory'
  fi
}

# appear: the probe's own time begins, once.
appear() {
  if [ -z "$appeared" ]; then
    appeared=yes
    counts_from=$(($(now) + START_PERIOD))
  fi
}

# await UNIT PROBE SINCE: true when it serves; else REASON says what came back last.
await() {
  read_probe "$2"
  appeared=
  looks=$LOOKS
  [ "$INTERVAL" -gt "$LOOK" ] || looks=0
  counts_from=$(($3 + APPEARANCE + START_PERIOD))
  failures=0
  while :; do
    if inspect "$1" && [ "$CONTAINER_STATUS" = running ]; then
      appear
      REASON=$(probe) && return 0
    else
      REASON='its container does not run'
      status=$(property ExecMainStatus "$1")
      if [ "$status" != 0 ]; then
        # Its container has been there and is gone, or Docker refused it.
        EXITED=$status
        appear
      fi
      nudge "$1"
    fi
    if [ -z "$appeared" ] && [ "$(now)" -lt "$counts_from" ]; then
      pause "$LOOK"
    elif [ -z "$EXITED" ] && [ "$looks" -gt 0 ]; then
      # No failure yet: it has had no time.
      looks=$((looks - 1))
      pause "$LOOK"
    else
      if [ "$(now)" -ge "$counts_from" ]; then
        failures=$((failures + 1))
        [ "$failures" -lt "$RETRIES" ] || return 1
      fi
      pause "$INTERVAL"
    fi
  done
}

# start REPLICA UNIT STOP_BEFORE PROBE: one line of outcome, and the end of the journal where it failed.
start() {
  began=$(now)
  REASON=
  EXITED=
  if register "$2"; then
    name "$2"
    if [ "$3" = - ] || { preload "$2" && halt "$3"; }; then
      if launch "$2" && await "$2" "$4" "$(now)"; then
        printf 'healthy\t%s\t%s\t%s\n' "$1" "$2" "$(($(now) - began))" >"$WORK/outcome/$2"
        return
      fi
      REASON=$REASON$(state_words "$2" "$began")
    else
      REASON="what runs in its place, $3, does not stop"
    fi
  fi
  printf 'failed\t%s\t%s\t%s\t%s\n' "$1" "$2" "$(($(now) - began))" "$(printf '%s' "$REASON" | one_line)" >"$WORK/outcome/$2"
  # What it printed itself, and Docker about it; systemd's own words are in the reason. Clearing a container away that is
  # not there is no news.
  journalctl -u "$2" _TRANSPORT=stdout --since "@$((began / 1000))" -n 30 --no-pager -o cat 2>/dev/null |
    grep -v '^Error: No such container: ' | tail -n 10 | cut -c1-400 >"$WORK/journal/$2"
}

awk -F '\t' '$1 == "start"' "$WORK/own" >"$WORK/starts"
while IFS=$TAB read -r _ replica unit stop_before how; do
  start "$replica" "$unit" "$stop_before" "$how" &
done <"$WORK/starts"
wait

# The outcomes, each with as many of its last lines as get through.
for lines in 10 6 3 1 0; do
  while IFS=$TAB read -r _ _ unit _; do
    cat "$WORK/outcome/$unit"
    [ ! -e "$WORK/journal/$unit" ] || tail -n "$lines" "$WORK/journal/$unit" | sed "s/^/journal$TAB$unit$TAB/"
  done <"$WORK/starts" >"$WORK/report"
  ! fits "$WORK/report" || break
done
send "$WORK/report"
exit 0
