# shellcheck shell=sh
# Makes this host a part of the cluster: fleet's binaries, the way to etcd, the firewall in front of it, fleetd. Run again
# it changes only what differs, and whatever runs on this host goes on running.
read_table
exclusive 60 -x

IFS=$TAB read -r HOST ADDRESS ROLE <"$WORK/own" || fail other "this instance, $INSTANCE, is not among the hosts of this run"
SYSTEMD=$ROOT/etc/systemd/system
machine=$(cat "$ROOT/etc/machine-id")

# put FILE [MODE]: replaces a file by what comes on standard input, all at once, where it differs.
put() {
  mkdir -p "${1%/*}"
  { cat >"$1.new" && chmod "${2:-644}" "$1.new"; } || fail "$(disk_or_other)" "$1 cannot be written: $(last_words "$WORK/log")"
  if cmp -s "$1.new" "$1"; then
    rm -f "$1.new"
  else
    mv -f "$1.new" "$1"
  fi
}

disk_or_other() {
  if grep -q 'No space left' "$WORK"/*; then echo disk-full; else echo other; fi
}

# The members, as addresses and as etcd wants to be told about them.
awk -F '\t' '$4 == "member" { print $3 }' "$WORK/table" >"$WORK/members"
CLUSTER=$(awk -F '\t' '$4 == "member" { printf "%s%s=http://%s:2380", comma, $2, $3; comma = "," }' "$WORK/table")

# --- What must never happen: another etcd under a running fleet. ---

recorded=$(cat "$STATE/cluster" 2>/dev/null)
if [ -n "$recorded" ] && [ "$recorded" != "$CLUSTER" ]; then
  if [ -e "$STATE/configuration" ] || [ -e "$STATE/etcd-bootstrapped" ]; then
    fail other "this host belongs to the etcd members $recorded and is told to belong to $CLUSTER; the members of a running cluster do not change (terminate the instance to have it launched anew)"
  fi
  # An earlier attempt never got as far as an etcd that answered: there is nothing in it.
  systemctl stop etcd-member.service
  rm -rf "$ROOT/var/lib/etcd/member"
fi
printf '%s\n' "$CLUSTER" | put "$STATE/cluster"
printf '%s\n' "$HOST" | put "$STATE/host"
printf '%s\n' "$ADDRESS" | put "$STATE/address"
put "$STATE/members" <"$WORK/members"
if [ "$ROLE" = member ]; then : >"$STATE/member"; else rm -f "$STATE/member"; fi

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

BINARIES=$ROOT/opt/fleet/$ARCHIVE_KEY
if [ ! -x "$BINARIES/fleetctl" ]; then
  fetch "$BINARIES"
fi
mkdir -p "$ROOT/opt/bin"
for binary in fleetd fleetctl; do
  ln -sfn "$BINARIES/$binary" "$ROOT/opt/bin/$binary.new"
  mv -fT "$ROOT/opt/bin/$binary.new" "$ROOT/opt/bin/$binary"
done

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

if [ "$ROLE" = member ]; then
  # The guard: an etcd that has had data and finds none would come up as an empty one, and an empty
  # registry stops every unit in the cluster. Settings of a member that has answered take effect when it is next started.
  put "$SYSTEMD/etcd-member.service.d/20-skipper.conf" <<UNIT
[Service]
Environment=ETCD_IMAGE_TAG=v3.5.16
Environment=ETCD_ENABLE_V2=true
Environment=ETCD_NAME=$HOST
Environment=ETCD_DATA_DIR=/var/lib/etcd
Environment=ETCD_INITIAL_CLUSTER=$CLUSTER
Environment=ETCD_INITIAL_CLUSTER_STATE=new
Environment=ETCD_INITIAL_CLUSTER_TOKEN=skipper/$SCOPE
Environment=ETCD_INITIAL_ADVERTISE_PEER_URLS=http://$ADDRESS:2380
Environment=ETCD_LISTEN_PEER_URLS=http://$ADDRESS:2380
Environment=ETCD_ADVERTISE_CLIENT_URLS=http://$ADDRESS:2379
Environment=ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:2379,http://$ADDRESS:2379
Environment=ETCD_HEARTBEAT_INTERVAL=250
Environment=ETCD_ELECTION_TIMEOUT=2500
ExecStartPre=/bin/sh -c 'test ! -e /etc/skipper/etcd-bootstrapped || test -d /var/lib/etcd/member || { echo "skipper: this member had data and has none now; it does not start empty"; exit 1; }'
UNIT
  etcd_unit=etcd-member.service
else
  printf '%s' "$ETCD_CONNECT" | put "$ROOT/opt/skipper/etcd-connect" 755
  put "$SYSTEMD/skipper-etcd.service" <<'UNIT'
[Unit]
Description=The cluster's etcd members on 127.0.0.1:2379
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/socat TCP4-LISTEN:2379,bind=127.0.0.1,reuseaddr,fork EXEC:/opt/skipper/etcd-connect
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
UNIT
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

etcd_answers() {
  curl -fsS --noproxy '*' --max-time 3 http://127.0.0.1:2379/health >"$WORK/health" 2>"$WORK/health.err" && grep -q '"health" *: *"true"' "$WORK/health"
}

# A member reports itself ready when there is a quorum, and the others are being configured at this moment: no waiting here.
systemctl start --no-block "$etcd_unit"
end=$(($(now) + 240000))
until etcd_answers; do
  if [ "$(now)" -gt "$end" ]; then
    fail other "etcd does not answer ($(last_words "$WORK/health.err")); $etcd_unit: $(journalctl -u "$etcd_unit" -n 2 --no-pager -o cat | one_line)"
  fi
  pause 300
done
if [ "$ROLE" = member ]; then
  : >"$STATE/etcd-bootstrapped"
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
end=$(($(now) + 120000))
until joined; do
  if [ "$(now)" -gt "$end" ]; then
    fail other "fleet does not list this host: $(first_words "$WORK/machines.err"); fleet.service: $(journalctl -u fleet.service -n 2 --no-pager -o cat | one_line)"
  fi
  pause 300
done

printf '%s\n' "$CONFIGURATION" | put "$STATE/configuration"
succeed
