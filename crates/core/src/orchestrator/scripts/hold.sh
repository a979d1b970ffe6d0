# shellcheck shell=sh disable=SC2013
# Holds fleetd on this host while its registry is empty or about to be: it would stop everything within seconds. Killed, it leaves
# its units alone, and what runs here goes on. `configure` lets it go once the registry has again what this host has on record.

if [ "$FOUNDING" != no ]; then
  # What must never happen: another etcd beside one that lives.
  for at in 127.0.0.1 $(cat "$STATE/members" 2>/dev/null); do
    ! answers "$at" || fail other "etcd answers at $at, and was to be founded anew"
  done
fi
# The firewall is in front of the member that there will be before it begins.
cat "$STATE/members" "$WORK/members" 2>/dev/null | sort -u | put "$STATE/members"
systemctl restart skipper-firewall.service ||
  fail other "the firewall rules cannot be set: $(journalctl -u skipper-firewall.service -n 3 --no-pager -o cat | one_line)"

put "$HELD" <<'UNIT'
[Service]
Restart=no
UNIT
systemctl daemon-reload

# is_held: kills fleetd as often as somebody has started it; stopped in the ordinary way it would purge this host.
is_held() {
  case $(property ActiveState fleet.service) in failed | inactive) return 0 ;; esac
  systemctl kill --signal=KILL --kill-whom=main fleet.service
  return 1
}

await 30 is_held || fail other 'fleetd does not end'
# Only now: whoever speaks to the socket would start it again.
systemctl stop fleet.socket
await 30 is_held || fail other 'fleetd does not end'
succeed
