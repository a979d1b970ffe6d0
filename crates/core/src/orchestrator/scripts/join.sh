# shellcheck shell=sh
# Gives this host a member of its own in an etcd that other hosts have, one at a time. What may fail is made ready first; then etcd
# is told of the member, and at once it is started: of one member and another that has not begun there is no quorum. Begun anew it
# goes on from wherever it stands, and what runs on this host goes on running.

# --- What may fail, before etcd waits for it. ---

if systemctl cat etcd-member.service 2>/dev/null | grep -q etcd-wrapper; then
  # Flatcar's unit runs a container.
  docker image inspect "quay.io/coreos/etcd:$ETCD_IMAGE_TAG" >/dev/null 2>&1 ||
    docker pull --quiet "quay.io/coreos/etcd:$ETCD_IMAGE_TAG" >"$WORK/pull" 2>&1 ||
    fail "$(disk_or_other)" "etcd's image cannot be fetched: $(last_words "$WORK/pull")"
fi

# add: tells etcd of the member. It refuses while it takes another one for unhealthy, as it does for seconds after the last change.
# An answer that was lost is found in its list.
add() {
  told "$ADDRESS" || return 1
  [ -z "$(id_of "$ADDRESS")" ] || return 0
  all_healthy || return 1
  code=$(curl -sS --noproxy '*' --max-time 10 -o "$WORK/added" -w '%{http_code}' -X POST -H 'Content-Type: application/json' \
    -d "{\"peerURLs\":[\"http://$ADDRESS:2380\"]}" --url "http://$TOLD_BY:2379/v2/members" 2>>"$WORK/log")
  [ "$code" != 201 ] || return 0
  last_words "$WORK/added" >"$WORK/unhealthy"
  return 1
}

if [ "$(member)" = no ] || [ "$(member)" = leaving ]; then
  await 90 others_are_healthy "$ADDRESS" || fail other "etcd takes no member while it is not whole: $(cat "$WORK/unhealthy")"
  if grep -q "$TAB$ADDRESS${TAB}started" "$WORK/told"; then
    fail other "etcd has a member at $ADDRESS that has begun, and this host has no data of it"
  fi
  rm -rf "$ETCD_DATA" "$STATE/etcd-bootstrapped"
  # By which names it knows the others is its own matter: etcd compares their addresses.
  awk -F '\t' -v host="$HOST" -v address="$ADDRESS" \
    '{ printf "%s=http://%s:2380,", $1, $2 } END { printf "%s=http://%s:2380\n", host, address }' "$WORK/others" | put "$STATE/cluster"
  put_member existing
  echo joining | put "$STATE/member"
fi
if [ "$(member)" = joining ] && [ ! -e "$STATE/etcd-bootstrapped" ]; then
  # Where no member tells anything any more, it may be this one that they are waiting for.
  await 90 add || ! told "$ADDRESS" || fail other "etcd does not take the member of this host: $(cat "$WORK/unhealthy")"
fi

lead_to_own
if ! await 240 answers 127.0.0.1; then
  why="$(last_words "$WORK/health.err"); etcd-member.service: $(journalctl -u etcd-member.service -n 2 --no-pager -o cat | one_line)"
  # A fleetd that cannot reach etcd is given up by the others: their members are better than none.
  lead_to_others
  fail other "the member of etcd on this host does not come up: $why"
fi
: >"$STATE/etcd-bootstrapped"
echo yes | put "$STATE/member"

# Whoever changes etcd next needs all of them.
await 60 others_are_healthy "$ADDRESS" || fail other "this host has joined etcd, and is the only one that answers: $(cat "$WORK/unhealthy")"
succeed
