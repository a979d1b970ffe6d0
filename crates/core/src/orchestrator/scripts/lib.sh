# shellcheck shell=sh
# What every host script begins with: places, the result, the host's own lines of the table, fleet, Docker, probes.
#
# In front of this text stand the assignments of this run (SCOPE, TABLE, ...). It runs as root under a POSIX shell, may be
# delivered twice, and prints its result before anything else: `skipper-result:<base64 of gzip>:end`.
# shellcheck disable=SC2034 # some of what is here is for one script only
set -u
umask 022
LC_ALL=C
export LC_ALL

# Below another root only where the scripts are tried without a host.
ROOT=${SKIPPER_ROOT:-}
PATH=$ROOT/opt/bin:$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
STATE=$ROOT/etc/skipper
UNITS=$ROOT/var/lib/skipper/units
RUN=$ROOT/run/skipper
ETCD_DATA=$ROOT/var/lib/etcd/member
# As long as it is there, fleetd is kept away from the registry.
HELD=$ROOT/etc/systemd/system/fleet.service.d/10-skipper-held.conf
METADATA=http://169.254.169.254/latest
TAB=$(printf '\t')

# Bytes that one page of invocations carries of a script's output.
RESULT_LIMIT=2400

mkdir -p "$RUN" || exit 1
# What a script has left that was killed; none takes this long.
find "$RUN" -maxdepth 1 -name 'work.*' -mmin +120 -exec rm -rf {} + 2>/dev/null
WORK=$(mktemp -d "$RUN/work.XXXXXX") || exit 1
# What commands print goes to a log; the real output is for the result.
exec 3>&1 >"$WORK/log" 2>&1
trap 'finish' EXIT
trap 'exit 143' HUP INT TERM

finish() {
  if [ ! -e "$WORK/sent" ]; then
    printf 'error\tother\tthe script ended early: %s\n' "$(last_words "$WORK/log")" >"$WORK/result"
    send "$WORK/result"
  fi
  rm -rf "$WORK"
}

# encode FILE: as the result is printed.
encode() {
  printf 'skipper-result:%s:end\n' "$(gzip -9 -n -c "$1" | base64 | tr -d '\n')"
}

# fits FILE: whether it gets through as a result.
fits() {
  [ "$(encode "$1" | wc -c)" -le "$RESULT_LIMIT" ]
}

# send FILE: prints the result and, after it, the end of the log for whoever looks closer.
send() {
  encode "$1" >&3
  : >"$WORK/sent"
  tail -c 4000 "$WORK/log" >&3
}

# succeed: ends the script with nothing to report.
succeed() {
  printf 'done\n' >"$WORK/result"
  send "$WORK/result"
  exit 0
}

# fail KIND WORDS: ends the script with the reason.
fail() {
  printf 'error\t%s\t%s\n' "$1" "$(printf '%s' "$2" | one_line)" >"$WORK/result"
  send "$WORK/result"
  exit 1
}

one_line() {
  tr -s '\t\r\n' ' ' | cut -c1-400 | sed 's/ *$//'
}

# first_words FILE, last_words FILE: the beginning and the end of what a command said, in one line.
first_words() {
  grep -v '^[[:space:]]*$' "$1" | head -n 1 | one_line
}

last_words() {
  grep -v '^[[:space:]]*$' "$1" | tail -n 2 | one_line
}

# now: milliseconds.
now() {
  date +%s%3N
}

# pause MILLISECONDS
pause() {
  sleep "$(seconds "$1")"
}

seconds() {
  printf '%d.%03d' "$(($1 / 1000))" "$(($1 % 1000))"
}

# One for each scope: previews that share a host have leases of their own.
FENCE_FILE=$ROOT/var/lib/skipper/fences/$SCOPE
# The hosts file that containers of the scope have who link to others.
HOSTS_FILE=$ROOT/var/lib/skipper/hosts/$SCOPE
# What the names of the scope's volumes begin with, as a pattern.
OUR_VOLUMES="^${SCOPE%/*}\.${SCOPE#*/}\."

# exclusive [SECONDS [-x]]: one script at a time changes what a scope has on a host; a second delivery waits and then finds the
# work done. Those of several scopes run side by side, but for one that changes the host itself (-x). Behind the fence: the
# script of a run that has lost its lease may have been on its way for long.
exclusive() {
  exec 8>"$ROOT/run/skipper.lock" 9>"$ROOT/run/skipper.$(printf '%s' "$SCOPE" | tr / .).lock"
  # Whoever changes the host itself takes minutes, for which nobody would wait here.
  flock "${2:--s}" -w "$([ "${2:-}" = -x ] && echo 600 || echo 60)" 8 ||
    fail other 'another run is changing this host; run again when it has ended'
  flock -w "${1:-900}" 9 ||
    fail other "another skipper script has held the lock of this host for ${1:-900} seconds"
  fence
}

# read_fence: sets RAISED to the highest lease of the scope that this host has seen.
read_fence() {
  RAISED=$(cat "$FENCE_FILE" 2>/dev/null)
  case $RAISED in
    '' | *[!0-9]*) RAISED=0 ;;
  esac
}

# behind_fence: refuses the script of a run whose lease another one has taken over.
behind_fence() {
  read_fence
  if [ "$RAISED" -gt "$FENCE" ]; then
    fail fenced "this host has seen lease $RAISED, and lease $FENCE may not change it any more"
  fi
}

# fence: stays behind the fence, and raises it to this run's lease. Under the lock, or it could be lowered.
fence() {
  [ -n "${FENCE:-}" ] || return 0
  behind_fence
  [ "$RAISED" -lt "$FENCE" ] || return 0
  mkdir -p "${FENCE_FILE%/*}"
  { printf '%s\n' "$FENCE" >"$FENCE_FILE.new" && mv -f "$FENCE_FILE.new" "$FENCE_FILE"; } ||
    fail other "the fence of this host cannot be raised: $(last_words "$WORK/log")"
}

# instance: the id of this instance, by which it finds its own lines.
instance() {
  if [ ! -s "$RUN/instance" ]; then
    metadata instance-id >"$WORK/instance" || fail other "the metadata service did not tell the instance's id: $(last_words "$WORK/log")"
    mv "$WORK/instance" "$RUN/instance"
  fi
  INSTANCE=$(cat "$RUN/instance")
}

metadata() {
  token=$(curl -fsS --noproxy '*' --max-time 5 --retry 3 -X PUT "$METADATA/api/token" -H 'X-aws-ec2-metadata-token-ttl-seconds: 60') || return 1
  curl -fsS --noproxy '*' --max-time 5 --retry 3 -H "X-aws-ec2-metadata-token: $token" "$METADATA/meta-data/$1"
}

# read_table: the whole table in $WORK/table, this host's lines without their first field in $WORK/own.
read_table() {
  instance
  printf '%s' "$TABLE" | base64 -d | gzip -d -c >"$WORK/table" || fail other 'the table of this run cannot be read'
  awk -F '\t' -v own="$INSTANCE" '$1 == own { sub(/^[^\t]*\t/, ""); print }' "$WORK/table" >"$WORK/own"
}

# fleet ARGUMENTS: fleetctl, which has no timeout of its own against the API. It asks fleetd, or what THROUGH says.
THROUGH=
fleet() {
  # shellcheck disable=SC2086 # flags
  timeout 20 fleetctl $THROUGH "$@"
}

# asked FILE ARGUMENTS: an answer of fleetctl in FILE. It exits 0 on an argument that it does not know, and prints its usage.
asked() {
  file=$1
  shift
  fleet "$@" >"$file" 2>"$file.err" || {
    [ -s "$file.err" ] || echo 'fleetctl got no answer' >"$file.err"
    return 1
  }
  ! grep -q -e '^Error' -e 'unknown' "$file.err"
}

# registry FILE: what is registered, as lines of unit, desired state, description. Columns come apart by one or more tabs;
# a line with fewer than four is not what was asked for.
registry() {
  asked "$1.raw" list-unit-files --no-legend --full --fields=unit,dstate,global,desc || {
    mv "$1.raw.err" "$1.err"
    return 1
  }
  awk -F '\t+' 'NF < 4 { print "fleetctl list-unit-files: " $0 > "/dev/stderr"; exit 1 } { print $1 "\t" $2 "\t" $4 }' "$1.raw" >"$1" 2>"$1.err"
}

# desired UNIT: `launched`, `loaded`, `inactive`, or nothing where it is not registered; false where fleet does not answer.
desired() {
  registry "$WORK/desired.$1" || return 1
  awk -F '\t' -v unit="$1" '$1 == unit { print $2 }' "$WORK/desired.$1"
}

# etcd_members ADDRESS FILE: the members of etcd as the one at this address knows them, as lines of id, address and `added` or
# `started`; false where it does not tell. One that was added has no address for clients until it has begun.
etcd_members() {
  curl -fsS --noproxy '*' --max-time 5 --url "http://$1:2379/v2/members" >"$2.json" 2>"$2.err" || return 1
  tr '{' '\n' <"$2.json" | sed -n 's|^"id":"\([0-9a-f]*\)","name":"[^"]*","peerURLs":\["http://\([0-9.]*\):2380"\],"clientURLs":\[\(.\).*|\1 \2 \3|p' |
    awk -v OFS='\t' '{ print $1, $2, ($3 == "]" ? "added" : "started") }' >"$2"
  # What is not understood as a whole is not taken for less.
  [ -s "$2" ] && [ "$(wc -l <"$2")" -eq "$(grep -o '"id":' "$2.json" | wc -l)" ]
}

# engine: whether Docker answers; else its words are in $WORK/engine.
engine() {
  timeout 10 docker ps --quiet >/dev/null 2>"$WORK/engine" && return
  [ -s "$WORK/engine" ] || echo 'it gave no answer' >"$WORK/engine"
  return 1
}

# container UNIT: the name of its container.
container() {
  printf '%s' "${1%.service}"
}

# property NAME UNIT: what systemd says of a unit.
property() {
  systemctl show -p "$1" --value "$2" 2>/dev/null
}

# runs_here UNIT: whether systemd or Docker has anything of it on this host.
runs_here() {
  case $(property ActiveState "$1") in
    active | activating | reloading | deactivating) return 0 ;;
  esac
  docker inspect --type container --format x "$(container "$1")" >/dev/null 2>&1
}

# grace UNIT: seconds that its unit file gives it to stop.
grace() {
  sed -n 's|^ExecStop=-/usr/bin/docker stop -t \([0-9]*\) .*|\1|p' "$UNITS/$1" "$ROOT/run/fleet/units/$1" 2>/dev/null | head -n 1
}

# halt UNIT: has fleet stop it and waits until nothing of it is left on this host. `fleetctl stop` tells nothing by its exit
# code, so what counts is what systemd and Docker have. fleetd looks every five seconds; once it no longer wants the unit,
# systemd is asked directly, since with stop-first nothing serves in the meantime.
halt() {
  state=$(desired "$1") || return 1
  if [ "$state" = launched ]; then
    fleet stop "$1" >>"$WORK/log" 2>&1
    state=$(desired "$1") || return 1
  fi
  if [ "$state" != launched ]; then
    systemctl stop --no-block "$1" 2>/dev/null
  fi
  patience=$(grace "$1")
  end=$(($(now) + (${patience:-10} + 30) * 1000))
  while runs_here "$1"; do
    if [ "$(now)" -gt "$end" ]; then
      return 1
    fi
    pause 100
  done
}

# The facts that `docker inspect` tells, in its own template's words; `<` and `>` stand for the double braces.
INSPECTED='<.Id>|<.State.Status>|<range .NetworkSettings.Networks><.IPAddress> <end>|<.State.StartedAt>|<.Config.Image>|<index .Config.Labels "skipper.probe">'

# inspect UNIT: sets CONTAINER_ID, CONTAINER_STATUS, CONTAINER_ADDRESS, CONTAINER_SINCE, CONTAINER_IMAGE and PROBE; false without a container.
inspect() {
  template=$(printf '%s' "$INSPECTED" | sed 's/</{</g; s/</{/g; s/>/}>/g; s/>/}/g')
  facts=$(docker inspect --type container --format "$template" "$(container "$1")" 2>/dev/null) || return 1
  IFS='|' read -r CONTAINER_ID CONTAINER_STATUS CONTAINER_ADDRESS CONTAINER_SINCE CONTAINER_IMAGE PROBE <<FACTS
$facts
FACTS
  CONTAINER_ADDRESS=${CONTAINER_ADDRESS%% *}
}

# read_probe PROBE: sets INTERVAL, TIMEOUT, RETRIES, START_PERIOD (milliseconds, tries), CHECK, PORT and PROBE_PATH.
read_probe() {
  read -r INTERVAL TIMEOUT RETRIES START_PERIOD CHECK PORT PROBE_PATH <<PROBE
$1
PROBE
}

# probe: one try of what read_probe read at the container's own address, where Docker's proxy does not answer in its place.
# Prints what came back; true when it is what a healthy replica says.
probe() {
  case $CHECK in
    http)
      code=$(curl -sS --noproxy '*' --globoff --path-as-is --max-time "$(seconds "$TIMEOUT")" -o /dev/null -w '%{http_code}' "http://$CONTAINER_ADDRESS:$PORT$PROBE_PATH" 2>"$WORK/probe.$CONTAINER_ID") || {
        printf 'GET %s on port %s: %s' "$PROBE_PATH" "$PORT" "$(sed 's/^curl: ([0-9]*) //' "$WORK/probe.$CONTAINER_ID" | one_line)"
        return 1
      }
      printf 'GET %s on port %s answered %s' "$PROBE_PATH" "$PORT" "$code"
      case $code in
        2?? | 3??) return 0 ;;
      esac
      return 1
      ;;
    tcp)
      if timeout "$(seconds "$TIMEOUT")" socat -u OPEN:/dev/null "TCP4:$CONTAINER_ADDRESS:$PORT" 2>/dev/null; then
        printf 'port %s takes connections' "$PORT"
        return 0
      fi
      printf 'port %s takes no connection' "$PORT"
      return 1
      ;;
    running)
      # Younger than one interval, it may be between two restarts.
      age=$(($(now) - $(date -d "$CONTAINER_SINCE" +%s%3N)))
      printf 'its container has been running for %s s' "$((age / 1000))"
      [ "$age" -ge "$INTERVAL" ]
      ;;
    *)
      printf 'it does not say how it is probed'
      return 1
      ;;
  esac
}

