# shellcheck shell=sh disable=SC2034,SC2153,SC2013
# What the scripts have in common that change the host's own part in the cluster: files that are replaced whole, and etcd on
# 127.0.0.1:2379, which is the local member or a way to those of other hosts.
#
# $STATE/member says which part the host has: nothing, or `joining`, `yes`, `leaving`. $STATE/cluster has what its member is told
# to begin with, $STATE/members the addresses of all members, a line each, and etcd-bootstrapped stands there once the member has answered.
# Some of what is here is for one of the scripts only.
read_table
exclusive 60 -x

IFS=$TAB read -r HOST ADDRESS ROLE ARCHITECTURE <"$WORK/own" || fail other "this instance, $INSTANCE, is not among the hosts of this run"
SYSTEMD=$ROOT/etc/systemd/system

# The addresses of the members.
awk -F '\t' '$4 == "member" { print $3 }' "$WORK/table" >"$WORK/members"

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

# member: the part that this host has in etcd, with a word for none.
member() {
  if [ -e "$STATE/member" ]; then cat "$STATE/member"; else echo no; fi
}

# put_member STATE: the member's settings. STATE is `new` where the members of $STATE/cluster found etcd together, `existing` where
# this one joins the others. Both count for an empty data directory alone, and take effect when the member is next started.
#
# The guard: an etcd that has had data and finds none would come up as an empty one, and an empty registry stops every unit in
# the cluster.
put_member() {
  put "$SYSTEMD/etcd-member.service.d/20-skipper.conf" <<UNIT
[Service]
Environment=ETCD_IMAGE_TAG=$ETCD_IMAGE_TAG
Environment=ETCD_ENABLE_V2=true
Environment=ETCD_NAME=$HOST
Environment=ETCD_DATA_DIR=/var/lib/etcd
Environment=ETCD_INITIAL_CLUSTER=$(cat "$STATE/cluster")
Environment=ETCD_INITIAL_CLUSTER_STATE=$1
Environment=ETCD_INITIAL_CLUSTER_TOKEN=skipper/$SCOPE
Environment=ETCD_INITIAL_ADVERTISE_PEER_URLS=http://$ADDRESS:2380
Environment=ETCD_LISTEN_PEER_URLS=http://$ADDRESS:2380
Environment=ETCD_ADVERTISE_CLIENT_URLS=http://$ADDRESS:2379
Environment=ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:2379,http://$ADDRESS:2379
Environment=ETCD_HEARTBEAT_INTERVAL=250
Environment=ETCD_ELECTION_TIMEOUT=2500
ExecStartPre=/bin/sh -c 'test ! -e /etc/skipper/etcd-bootstrapped || test -d /var/lib/etcd/member || { echo "skipper: this member had data and has none now; it does not start empty"; exit 1; }'
UNIT
}
# Images for amd64 have no word for it in their tags.
case $ARCHITECTURE in
  amd64) ETCD_IMAGE_TAG=v3.5.16 ;;
  *) ETCD_IMAGE_TAG=v3.5.16-$ARCHITECTURE ;;
esac

# put_forwarder: the way to the members of other hosts.
put_forwarder() {
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
}

# lead_to_others: 127.0.0.1:2379 becomes the way to the members of other hosts. fleetd, which knows no other address, looks for
# etcd again within seconds, and what it runs goes on.
lead_to_others() {
  put_forwarder
  systemctl daemon-reload
  systemctl disable --now etcd-member.service
  systemctl enable skipper-etcd.service
  systemctl restart skipper-etcd.service
}

# lead_to_own: 127.0.0.1:2379 becomes this host's own member. It reports itself ready when there is a quorum: no waiting here.
lead_to_own() {
  systemctl daemon-reload
  systemctl disable --now skipper-etcd.service
  systemctl enable etcd-member.service
  systemctl start --no-block etcd-member.service
}

# answers ADDRESS: whether etcd there knows a leader.
answers() {
  curl -fsS --noproxy '*' --max-time 3 "http://$1:2379/health" >"$WORK/health" 2>"$WORK/health.err" && grep -q '"health" *: *"true"' "$WORK/health"
}

# await SECONDS COMMAND...: until it is true; false when the time is up.
await() {
  end=$(($(now) + $1 * 1000))
  shift
  until "$@"; do
    [ "$(now)" -le "$end" ] || return 1
    pause 300
  done
}

# told BUT: asks etcd for its members, in $WORK/told, and in $WORK/others without the one at the address BUT; false where none of
# the members tells. The member of this host is not asked: it may be on its way in or out. TOLD_BY is the address that was asked,
# one that knows a leader if there is any: a member tells of the others when there is no quorum, too.
told() {
  for knows in answers true; do
    for at in $(grep -v -x -F "$ADDRESS" "$WORK/members"); do
      if $knows "$at" && etcd_members "$at" "$WORK/told"; then
        TOLD_BY=$at
        awk -F '\t' -v but="$1" '$2 != but' "$WORK/told" >"$WORK/others"
        return 0
      fi
    done
  done
  echo 'no member of etcd answers' >"$WORK/unhealthy"
  return 1
}

# id_of ADDRESS: the id of the member at this address, as it was told; nothing where there is none.
id_of() {
  awk -F '\t' -v at="$1" '$2 == at { print $1 }' "$WORK/told"
}

# all_healthy: whether each of the others has begun, and answers.
all_healthy() {
  while IFS=$TAB read -r _ at state; do
    if [ "$state" = added ] || ! answers "$at"; then
      echo "the member at $at does not answer" >"$WORK/unhealthy"
      return 1
    fi
  done <"$WORK/others"
}

# others_are_healthy BUT: whether there are others than the one at this address, and all of them answer.
others_are_healthy() {
  told "$1" && all_healthy
}
