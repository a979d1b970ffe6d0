#!/bin/sh
# Keeps containers away from etcd: whoever reaches it is root on every host of the cluster. The security group lets in the
# cluster's own hosts, and a container's packets leave its host with the host's address, so its own host has to refuse them.
set -eu

address=$(cat /etc/skipper/address)
interface=$(ip -o -4 address show to "$address/32" | awk '{ print $2; exit }')
[ -n "$interface" ] || {
  echo "no interface has the address $address" >&2
  exit 1
}

# To this host: only from itself and over the interface that the other hosts are behind. A container is behind a bridge,
# whatever that is called. To the members, forwarded for a container: never.
{
  echo '*filter'
  echo ':SKIPPER-TO-HOST - [0:0]'
  echo ':SKIPPER-FORWARDED - [0:0]'
  echo '-A SKIPPER-TO-HOST -i lo -j RETURN'
  echo "-A SKIPPER-TO-HOST -i $interface -j RETURN"
  echo '-A SKIPPER-TO-HOST -p tcp -j REJECT --reject-with tcp-reset'
  while read -r member; do
    echo "-A SKIPPER-FORWARDED -d $member -p tcp -j REJECT --reject-with tcp-reset"
  done </etc/skipper/members
  echo COMMIT
} | iptables-restore -w --noflush

# Docker calls this chain before its own and leaves what is in it alone.
iptables -w -N DOCKER-USER 2>/dev/null || true

# jump CHAIN TARGET: etcd's two ports are looked at first of all, and once.
jump() {
  iptables -w -C "$1" -p tcp -m multiport --dports 2379,2380 -j "$2" 2>/dev/null ||
    iptables -w -I "$1" 1 -p tcp -m multiport --dports 2379,2380 -j "$2"
}
jump INPUT SKIPPER-TO-HOST
jump DOCKER-USER SKIPPER-FORWARDED
