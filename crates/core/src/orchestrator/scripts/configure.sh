# shellcheck shell=sh
# Makes this host a part of the cluster: fleet's binaries, the way to etcd, the firewall in front of it, fleetd. Run again
# it changes only what differs, and whatever runs on this host goes on running.
machine=$(cat "$ROOT/etc/machine-id")

# --- Docker, in which etcd's member runs, too. ---

if ! engine; then
  # What has ended too often in a row systemd starts no more, whoever asks.
  systemctl reset-failed containerd.service docker.socket docker.service
  { timeout 120 systemctl start docker.service 2>"$WORK/start" && await 20 engine; } ||
    fail engine "Docker does not answer ($(first_words "$WORK/engine")). $(first_words "$WORK/start") docker.service: $(journalctl -u docker.service -n 3 --no-pager -o cat | one_line)"
fi

# --- Which part it has in etcd. ---

founders=$(awk -F '\t' '$4 == "member" { printf "%s%s=http://%s:2380", comma, $2, $3; comma = "," }' "$WORK/table")

# give_way: this host has no member any more. What that knew is kept aside, for people.
give_way() {
  lead_to_others
  put_aside
  rm -rf "$STATE/etcd-bootstrapped" "$STATE/cluster" "$SYSTEMD/etcd-member.service.d/20-skipper.conf" "$STATE/member"
}

put_aside() {
  [ -d "$ETCD_DATA" ] || return 0
  if [ "$(member)" = yes ] && [ ! -e "$STATE/etcd-bootstrapped" ]; then
    # An earlier attempt to found it anew, which never answered; what that has put aside is worth more.
    rm -rf "$ETCD_DATA"
    return
  fi
  rm -rf "$ETCD_DATA.lost"
  mv "$ETCD_DATA" "$ETCD_DATA.lost" || fail other "$ETCD_DATA cannot be put aside: $(last_words "$WORK/log")"
}

if [ "$FOUNDING" = anew ]; then
  # One that answers by now was founded by this very step: no host was held while any did.
  if answers 127.0.0.1; then
    :
  elif [ ! -e "$HELD" ]; then
    fail other 'etcd is to be founded anew, and fleet is not held on this host'
  elif [ "$ROLE" = member ]; then
    systemctl disable --now skipper-etcd.service
    systemctl stop etcd-member.service
    # Broken off from here on, it is still lost, or is founded by whoever configures this host next.
    put_aside
    printf '%s\n' "$founders" | put "$STATE/cluster"
    put_member new
    echo yes | put "$STATE/member"
    rm -f "$STATE/etcd-bootstrapped"
  else
    give_way
  fi
elif [ "$FOUNDING" = yes ] && [ "$ROLE" = member ]; then
  # What must never happen: another etcd under a running fleet.
  recorded=$(cat "$STATE/cluster" 2>/dev/null)
  if [ -n "$recorded" ] && [ "$recorded" != "$founders" ]; then
    if [ -e "$STATE/configuration" ] || [ -e "$STATE/etcd-bootstrapped" ]; then
      fail other "this host belongs to the etcd members $recorded and is told to found another etcd with $founders (terminate the instance to have it launched anew)"
    fi
    # An earlier attempt never got as far as an etcd that answered: there is nothing in it.
    systemctl stop etcd-member.service
    rm -rf "$ETCD_DATA"
  fi
  printf '%s\n' "$founders" | put "$STATE/cluster"
  put_member new
  echo yes | put "$STATE/member"
elif [ "$FOUNDING" = yes ]; then
  # It may have been among the founders of an earlier attempt.
  [ ! -e "$STATE/etcd-bootstrapped" ] || fail other "this host has data of etcd's, and is told that there is no etcd yet"
  systemctl disable --now etcd-member.service
  rm -rf "$ETCD_DATA" "$STATE/member" "$STATE/cluster"
fi

# others_live: whether there is an etcd with a quorum on other hosts.
others_live() {
  told "$ADDRESS" && answers "$TOLD_BY"
}

if [ "$(member)" = yes ] && [ -e "$STATE/etcd-bootstrapped" ]; then
  if [ ! -d "$ETCD_DATA" ]; then
    # One that has lost its data gives way to the others, which forget it; a new one joins them in its place.
    ! others_live || give_way
  elif [ -e "$HELD" ] && ! answers "$ADDRESS" && others_live && [ -z "$(id_of "$ADDRESS")" ]; then
    # It is left over from an etcd that was founded anew on another host, and missed that it should give way.
    give_way
  fi
fi
# Members that are there already come and go by other scripts, one at a time.
printf '%s\n' "$HOST" | put "$STATE/host"
printf '%s\n' "$ADDRESS" | put "$STATE/address"
put "$STATE/members" <"$WORK/members"

# --- fleet's binaries. ---

# fetch: downloads the archive, checks it, unpacks it beside its final place and moves it there in one step.
fetch() {
  code=$(curl -sSL --connect-timeout 10 --max-time 600 --retry 4 --retry-connrefused -o "$WORK/archive" -w '%{http_code}' --url "$ARCHIVE_URL" 2>"$WORK/curl") ||
    fail archive-missing "$ARCHIVE_URL cannot be fetched: $(last_words "$WORK/curl")"
  case $code in
    2??) ;;
    *) fail archive-missing "$ARCHIVE_URL answered $code" ;;
  esac
  sum=$(sha256sum "$WORK/archive" | cut -d ' ' -f 1)
  if [ -z "$ARCHIVE_SHA256" ]; then
    echo "warning: $ARCHIVE_URL is used unchecked; its SHA-256 is $sum"
  elif [ "$sum" != "$ARCHIVE_SHA256" ]; then
    fail archive-hash "$ARCHIVE_URL has the SHA-256 $sum, and $ARCHIVE_SHA256 is expected"
  fi
  rm -rf "$1.new"
  mkdir -p "$1.new"
  tar -xzf "$WORK/archive" --no-same-owner --strip-components=1 -C "$1.new" 2>"$WORK/tar" || fail "$(disk_or_other)" "the fleet archive cannot be unpacked: $(first_words "$WORK/tar")"
  for binary in fleetd fleetctl; do
    [ -f "$1.new/$binary" ] || fail other "the fleet archive holds no $binary"
    chmod 755 "$1.new/$binary"
  done
  "$1.new/fleetctl" version || fail other "the fleet archive's fleetctl does not run on this host: $(last_words "$WORK/log")"
  rm -rf "$1"
  mv "$1.new" "$1"
}

# install: has this host run what is in the archive.
install() {
  binaries=$ROOT/opt/fleet/$1
  if [ ! -x "$binaries/fleetctl" ]; then
    fetch "$binaries"
  fi
  mkdir -p "$ROOT/opt/bin"
  for binary in fleetd fleetctl; do
    ln -sfn "$binaries/$binary" "$ROOT/opt/bin/$binary.new"
    mv -fT "$ROOT/opt/bin/$binary.new" "$ROOT/opt/bin/$binary"
  done
}

printf '%s' "$ARCHIVES" | base64 -d | gzip -d -c | awk -F '\t' -v own="$ARCHITECTURE" '$1 == own' >"$WORK/archives" || fail other 'the archives of this run cannot be read'
if IFS=$TAB read -r _ archive ARCHIVE_URL ARCHIVE_SHA256 <"$WORK/archives"; then
  install "$archive"
elif [ ! -x "$ROOT/opt/bin/fleetctl" ]; then
  fail archive-missing "no archive of fleet is named for an $ARCHITECTURE processor"
fi

# --- What systemd is told, and the files behind it. ---

printf '%s' "$WITH_SECRETS" | put "$ROOT/opt/skipper/with-secrets" 755
printf '%s' "$FIREWALL" | put "$ROOT/opt/skipper/firewall" 755
put "$SYSTEMD/skipper-firewall.service" <<'UNIT'
[Unit]
Description=Keeps containers away from etcd
After=docker.service
PartOf=docker.service
Before=etcd-member.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/opt/skipper/firewall

[Install]
WantedBy=multi-user.target docker.service
UNIT

if [ -e "$STATE/member" ]; then
  put_member "$(sed -n 's/^Environment=ETCD_INITIAL_CLUSTER_STATE=//p' "$SYSTEMD/etcd-member.service.d/20-skipper.conf")"
  etcd_unit=etcd-member.service
else
  put_forwarder
  etcd_unit=skipper-etcd.service
fi

# Slower than fleet's own pace: a short pause of etcd must not look like a lost host.
put "$ROOT/etc/fleet/fleet.conf" <<CONF
etcd_servers=["http://127.0.0.1:2379"]
etcd_request_timeout=5
engine_reconcile_interval=10
agent_ttl="30s"
public_ip="$ADDRESS"
metadata="group=${HOST%_*},host=$HOST"
CONF
put "$SYSTEMD/fleet.socket" <<'UNIT'
[Unit]
Description=fleet's API, for root alone

[Socket]
ListenStream=/run/fleet.sock
SocketMode=0600

[Install]
WantedBy=sockets.target
UNIT
# The socket is wanted and never required: stopping it would send fleetd SIGTERM, and on SIGTERM fleetd stops every unit of
# its host. What it was started with is noted down, to be compared with what it should run with.
put "$SYSTEMD/fleet.service" <<'UNIT'
[Unit]
Description=fleet, which runs this host's units
Wants=fleet.socket network-online.target docker.service
After=fleet.socket network-online.target docker.service etcd-member.service skipper-etcd.service

[Service]
ExecStartPre=/bin/sh -c 'mkdir -p /run/skipper && sha256sum /etc/fleet/fleet.conf /etc/systemd/system/fleet.service /opt/bin/fleetd >/run/skipper/fleetd'
ExecStart=/opt/bin/fleetd
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable skipper-firewall.service "$etcd_unit" fleet.socket fleet.service

# --- The firewall, before etcd listens. ---

systemctl restart skipper-firewall.service ||
  fail other "the firewall rules cannot be set: $(journalctl -u skipper-firewall.service -n 3 --no-pager -o cat | one_line)"

# --- etcd on 127.0.0.1:2379: the local member, or a way to the members. ---

# A member reports itself ready when there is a quorum, and the others are being configured at this moment: no waiting here.
systemctl start --no-block "$etcd_unit"
await 240 answers 127.0.0.1 ||
  fail other "etcd does not answer ($(last_words "$WORK/health.err")); $etcd_unit: $(journalctl -u "$etcd_unit" -n 2 --no-pager -o cat | one_line)"
if [ "$(member)" = yes ]; then
  : >"$STATE/etcd-bootstrapped"
fi

# --- The registry, where fleetd is held: it may not look before what runs here is known there. ---

# wanted: the units on record that are registered again: all that run, and of a replica of which none does, the one that was recorded
# last. What a rollout has stopped and not removed yet is wanted by nobody.
wanted() {
  find "$UNITS" -name '*.service' -printf '%T@\t%f\n' | sort -r -n | while IFS=$TAB read -r _ unit; do
    if runs_here "$unit"; then runs=1; else runs=2; fi
    printf '%s\t%s\t%s\n' "$runs" "$unit" "$(sed -n 's/^Description=//p' "$UNITS/$unit")"
  done | sort -s -k 1,1 | awk -F '\t' '$1 == 1 || !($3 in seen) { print $2 } { seen[$3] }'
}

# are_registered: registers what is not, and says whether nothing was missing.
are_registered() {
  registry "$WORK/registered" || return 1
  awk -F '\t' 'FILENAME == ARGV[1] { state[$1] = $2; next } state[$1] != "launched"' "$WORK/registered" "$WORK/wanted" >"$WORK/missing"
  [ -s "$WORK/missing" ] || return 0
  while read -r unit; do
    fleet submit "$UNITS/$unit" </dev/null
    fleet start --no-block "$unit" </dev/null
  done <"$WORK/missing"
  return 1
}

# all_serve: whether what is wanted is up, as far as anybody can tell.
all_serve() {
  while read -r unit; do
    inspect "$unit" || return 1
    [ "$CONTAINER_STATUS" = running ] || return 1
    read_probe "$PROBE"
    probe || return 1
  done <"$WORK/wanted"
}

if [ -e "$HELD" ]; then
  wanted >"$WORK/wanted"
  THROUGH='--driver=etcd --endpoint=http://127.0.0.1:2379'
  await 60 are_registered || fail other "the registry does not take what this host has on record: $(last_words "$WORK/log")"
  # shellcheck disable=SC2034 # fleet, of lib.sh, reads it
  THROUGH=
  # What is not registered any more is nobody's: on record it would make the registry look as if it had lost it.
  for path in "$UNITS"/*.service; do
    grep -q -x -F "${path##*/}" "$WORK/wanted" || rm -f "$path"
  done
  rm -f "$HELD"
  systemctl daemon-reload
fi

# --- fleetd. ---

systemctl start fleet.socket || fail other "fleet.socket does not start: $(last_words "$WORK/log")"
if [ "$(property ActiveState fleet.service)" = active ] && ! sha256sum --check --status "$RUN/fleetd"; then
  # fleetd cannot be told of another configuration, and stopped in the ordinary way it would purge this host. Killed, it
  # leaves its units alone, and systemd starts it with the new one; it has joined again when its old key has expired.
  systemctl kill --signal=KILL --kill-whom=main fleet.service
fi
systemctl start fleet.service || fail other "fleet.service does not start: $(journalctl -u fleet.service -n 2 --no-pager -o cat | one_line)"

joined() {
  asked "$WORK/machines" list-machines --no-legend --full --fields=machine,metadata &&
    awk -F '\t+' -v machine="$machine" -v host="host=$HOST" '$1 == machine { n = split($2, pairs, ","); for (i = 1; i <= n; i++) if (pairs[i] == host) found = 1 } END { exit !found }' "$WORK/machines"
}

# Registering again takes until the old key has expired, and then up to the next of fleetd's doubling pauses.
await 120 joined ||
  fail other "fleet does not list this host: $(first_words "$WORK/machines.err"); fleet.service: $(journalctl -u fleet.service -n 2 --no-pager -o cat | one_line)"

# Whoever looks next should find what has been started again. What does not come up is theirs to tell.
[ ! -e "$WORK/wanted" ] || await 60 all_serve

printf '%s\n' "$CONFIGURATION" | put "$STATE/configuration"
succeed
