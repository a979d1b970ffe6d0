# shellcheck shell=sh
# Has etcd forget the member at the address $LEAVING, once all the others answer, so that a quorum is never lost. On the host of that
# member it then ends it, and leads to the others in its place. Begun anew it goes on from wherever it stands, and what runs on this
# host goes on running.

# forget: false until the list of the members that stay has it no more, whatever the answer to the call was.
forget() {
  told "$LEAVING" || return 1
  id=$(id_of "$LEAVING")
  if [ -z "$id" ]; then
    # Nobody who is cut off from the others decides that.
    answers "$TOLD_BY"
    return
  fi
  [ -s "$WORK/others" ] || fail other "the member at $LEAVING is the last one of etcd"
  all_healthy || return 1
  if [ "$LEAVING" = "$ADDRESS" ]; then
    echo leaving | put "$STATE/member"
  fi
  curl -sS --noproxy '*' --max-time 10 -o "$WORK/forgotten" -X DELETE --url "http://$TOLD_BY:2379/v2/members/$id" 2>>"$WORK/log"
  last_words "$WORK/forgotten" >"$WORK/unhealthy"
  return 1
}

echo 'it still has it' >"$WORK/unhealthy"
await 120 forget || fail other "etcd does not let go of the member at $LEAVING: $(cat "$WORK/unhealthy")"

if [ "$LEAVING" = "$ADDRESS" ]; then
  put "$STATE/members" <"$WORK/members"
  lead_to_others
  # It is no member any more: what it had is of no use to anybody, and in the way of a member that it may get again.
  rm -rf "$ETCD_DATA" "$STATE/etcd-bootstrapped" "$STATE/cluster" "$SYSTEMD/etcd-member.service.d/20-skipper.conf"
  await 60 answers 127.0.0.1 || fail other "this host has left etcd, and does not reach the other members: $(last_words "$WORK/health.err")"
  rm -f "$STATE/member"
fi
succeed
