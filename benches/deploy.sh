#!/usr/bin/env bash
# Deploys examples/hello to two EC2 hosts with `docker`, `aws` and fleet: what people write who have no deploy tool, written
# with care. `cargo lab bench job` runs it beside skipper, in the same lab.
#
#   cd PROJECT && APP=hello REGISTRY=… FLEET_URL=… FLEET_SHA256=… deploy.sh COMMIT
#
# It does what it must fast: images side by side and not twice, hosts looked up meanwhile, its own pauses of a second where
# the waiters of `aws` pause for five and fifteen, one command for both hosts wherever their order does not matter. It has
# no plan, record, lease, comment, firewall, or way back for more than the host it fails on.
set -euo pipefail

: "${APP:?the name of the app}" "${REGISTRY:?where images go}" "${FLEET_URL:?the fleet archive}" "${FLEET_SHA256:?its hash}"
commit=${1:?usage: deploy.sh COMMIT}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DOCKER_BUILDKIT=1

say() { printf '%s\n' "$*"; }

# image SERVICE: makes sure that the registry has this commit's image; its digest goes to $work/SERVICE.
image() {
  local name=$REGISTRY/$APP/$1
  if ! docker pull --quiet "$name:$commit" >"$work/$1.log" 2>&1; then
    if ! { docker build --quiet --tag "$name:$commit" "$1" && docker push --quiet "$name:$commit"; } >"$work/$1.log" 2>&1; then
      cat "$work/$1.log" >&2
      return 1
    fi
  fi
  docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name:$commit" | grep "^$name@" >"$work/$1"
}

# find_hosts: lines of instance id, private and public address, always in the same order.
find_hosts() {
  aws ec2 describe-instances --output text \
    --filters "Name=tag:app,Values=$APP" Name=instance-state-name,Values=pending,running \
    --query 'sort_by(Reservations[].Instances[], &InstanceId)[].[InstanceId, PrivateIpAddress, PublicIpAddress]'
}

# launch: two hosts in a security group of their own, and waits until both can be reached.
launch() {
  local ami group
  ami=$(aws ec2 describe-images --owners 075585003325 --output text --query 'max_by(Images, &CreationDate).ImageId' \
    --filters 'Name=name,Values=Flatcar-stable-*-hvm' Name=architecture,Values=x86_64 Name=state,Values=available)
  group=$(aws ec2 create-security-group --group-name "$APP" --description "the hosts of $APP" --query GroupId --output text)
  aws ec2 authorize-security-group-ingress --group-id "$group" --ip-permissions "[
    {\"IpProtocol\": \"tcp\", \"FromPort\": 80, \"ToPort\": 80, \"IpRanges\": [{\"CidrIp\": \"0.0.0.0/0\"}]},
    {\"IpProtocol\": \"tcp\", \"FromPort\": 2379, \"ToPort\": 2380, \"UserIdGroupPairs\": [{\"GroupId\": \"$group\"}]}]" >/dev/null
  mapfile -t ids < <(aws ec2 run-instances --count 2 --image-id "$ami" --instance-type t3.small \
    --iam-instance-profile Name=skipper-host --security-group-ids "$group" \
    --metadata-options HttpTokens=required,HttpPutResponseHopLimit=1 \
    --tag-specifications "ResourceType=instance,Tags=[{Key=app,Value=$APP}]" \
    --query 'Instances[].[InstanceId]' --output text)
  say "launched ${ids[*]}"
  until [ "$(aws ssm describe-instance-information --filters "Key=InstanceIds,Values=$(IFS=, && echo "${ids[*]}")" \
    --query "length(InstanceInformationList[?PingStatus=='Online'])" --output text)" = 2 ]; do
    sleep 1
  done
}

# on SCRIPT INSTANCE...: runs a script on hosts, side by side, and shows what it prints; false where it fails on any.
on() {
  local script=$1 command invocations
  shift
  command=$(aws ssm send-command --document-name AWS-RunShellScript --instance-ids "$@" --max-errors 100% \
    --parameters "$(jq --null-input --arg script "$script" '{commands: [$script], executionTimeout: ["600"]}')" \
    --query Command.CommandId --output text)
  while :; do
    sleep 1
    invocations=$(aws ssm list-command-invocations --command-id "$command" --details --output json)
    # An empty list is normal at first.
    if jq --exit-status --arg hosts $# '.CommandInvocations | length == ($hosts | tonumber)
      and all(.Status != "Pending" and .Status != "InProgress" and .Status != "Delayed")' <<<"$invocations" >/dev/null; then
      break
    fi
  done
  jq --raw-output '.CommandInvocations[] | .CommandPlugins[0].Output' <<<"$invocations"
  jq --exit-status '.CommandInvocations | all(.Status == "Success")' <<<"$invocations" >/dev/null
}

# facts: what every script on a host begins with. The number of a host is the place of its address among all.
facts() {
  printf '%s=%q\n' APP "$APP" ADDRESSES "${private[*]}" FIRST "${private[0]}" FLEET_URL "$FLEET_URL" FLEET_SHA256 "$FLEET_SHA256" \
    WEB "$(<"$work/web")" CLOCK "$(<"$work/clock")"
  cat <<'HOST'
set -eu
PATH=/opt/bin:$PATH
mine=$(ip -4 -o address | awk '{ sub("/.*", "", $4); print $4 }')
NUMBER=0
for ADDRESS in $ADDRESSES; do
  NUMBER=$((NUMBER + 1))
  if printf '%s\n' "$mine" | grep -qx "$ADDRESS"; then break; fi
done

# unit SERVICE IMAGE: one name for one image on one host.
unit() { echo "$APP-$1-$NUMBER-$(printf '%s' "${2##*:}" | cut -c 1-12)"; }

# healthy NAME PORT PATH: at the container's own address, since Docker's proxy answers with nothing behind it.
healthy() {
  address=$(docker inspect --format '{{.NetworkSettings.IPAddress}}' "$1" 2>/dev/null) || return 1
  [ -n "$address" ] && curl -fs --noproxy '*' --max-time 2 -o /dev/null "http://$address:$2$3"
}
HOST
}

# Makes a host part of the cluster: etcd on the first one, fleet on both.
setup() {
  facts
  cat <<'HOST'
docker pull --quiet "$WEB" &
docker pull --quiet "$CLOCK" &
curl -fsSL -o /tmp/fleet.tar.gz "$FLEET_URL"
echo "$FLEET_SHA256  /tmp/fleet.tar.gz" | sha256sum --check --quiet -
mkdir -p /opt/bin /etc/fleet /etc/systemd/system/etcd-member.service.d
tar -xzf /tmp/fleet.tar.gz -C /opt/bin --strip-components=1
cat >/etc/systemd/system/etcd-member.service.d/20-app.conf <<CONF
[Service]
Environment=ETCD_IMAGE_TAG=v3.5.16
Environment=ETCD_ENABLE_V2=true
Environment=ETCD_NAME=host-1
Environment=ETCD_DATA_DIR=/var/lib/etcd
Environment=ETCD_INITIAL_CLUSTER=host-1=http://$FIRST:2380
Environment=ETCD_INITIAL_ADVERTISE_PEER_URLS=http://$FIRST:2380
Environment=ETCD_LISTEN_PEER_URLS=http://$FIRST:2380
Environment=ETCD_ADVERTISE_CLIENT_URLS=http://$FIRST:2379
Environment=ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:2379,http://$FIRST:2379
CONF
cat >/etc/fleet/fleet.conf <<CONF
etcd_servers=["http://$FIRST:2379"]
etcd_request_timeout=5
public_ip="$ADDRESS"
metadata="host=$NUMBER"
CONF
cat >/etc/systemd/system/fleet.socket <<CONF
[Socket]
ListenStream=/run/fleet.sock
SocketMode=0600

[Install]
WantedBy=sockets.target
CONF
cat >/etc/systemd/system/fleet.service <<CONF
[Unit]
Wants=fleet.socket docker.service
After=fleet.socket docker.service

[Service]
ExecStart=/opt/bin/fleetd
Restart=always

[Install]
WantedBy=multi-user.target
CONF
systemctl daemon-reload
if [ "$NUMBER" = 1 ]; then systemctl --quiet enable --now etcd-member.service; fi
until curl -fs --noproxy '*' --max-time 2 "http://$FIRST:2379/health" | grep -q true; do sleep 0.5; done
systemctl --quiet enable --now fleet.socket fleet.service
until fleetctl list-machines --no-legend --fields=metadata 2>/dev/null | grep -qx "host=$NUMBER"; do sleep 0.5; done
wait
echo "host $NUMBER is configured"
HOST
}

# Whether the release serves on a host.
check() {
  facts
  cat <<'HOST'
healthy "$(unit web "$WEB")" 5000 /up || exit 1
healthy "$(unit clock "$CLOCK")" 9000 / || exit 1
echo "host $NUMBER runs it"
HOST
}

# Brings a host to the release: the image first, then the new unit in the old one's place, the old one back if that fails.
rollout() {
  facts
  cat <<'HOST'
# service NAME IMAGE PORTS PORT PATH
service() {
  new=$(unit "$1" "$2")
  if healthy "$new" "$4" "$5"; then return 0; fi
  docker pull --quiet "$2" >/dev/null
  cat >"/tmp/$new.service" <<UNIT
[Unit]
Description=$1 of $APP on host $NUMBER
Wants=docker.service
After=docker.service

[Service]
Restart=always
RestartSec=2
ExecStartPre=-/usr/bin/docker rm -f $new
ExecStart=/usr/bin/docker run --rm --name $new --publish $3 $2
ExecStop=-/usr/bin/docker stop $new

[X-Fleet]
Global=true
MachineMetadata=host=$NUMBER
UNIT
  old=$(fleetctl list-unit-files --no-legend --full --fields=unit | grep "^$APP-$1-$NUMBER-" | grep -vx "$new.service" || true)
  fleetctl submit "/tmp/$new.service" >/dev/null
  for one in $old; do
    # The new one wants the same port.
    fleetctl stop "$one" >/dev/null 2>&1
    while docker inspect "${one%.service}" >/dev/null 2>&1; do sleep 0.5; done
  done
  fleetctl start --no-block "$new.service" >/dev/null
  tries=60
  until healthy "$new" "$4" "$5"; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then
      fleetctl destroy "$new.service" >/dev/null
      for one in $old; do fleetctl start --no-block "$one" >/dev/null; done
      echo "$new does not serve on host $NUMBER: $(journalctl -u "$new" -n 5 --no-pager -o cat)"
      return 1
    fi
    sleep 0.5
  done
  for one in $old; do fleetctl destroy "$one" >/dev/null; done
  echo "host $NUMBER runs $new"
}

service web "$WEB" 80:5000 5000 /up &
web=$!
service clock "$CLOCK" 9000:9000 9000 / &
wait "$!"
wait "$web"
HOST
}

image web &
web=$!
image clock &
clock=$!
find_hosts >"$work/hosts"
wait "$web"
wait "$clock"

fresh=
if [ ! -s "$work/hosts" ]; then
  launch
  fresh=yes
  find_hosts >"$work/hosts"
fi
mapfile -t ids < <(cut -f 1 "$work/hosts")
mapfile -t private < <(cut -f 2 "$work/hosts")
mapfile -t public < <(cut -f 3 "$work/hosts")

if [ -n "$fresh" ]; then
  on "$(setup)" "${ids[@]}"
  on "$(rollout)" "${ids[@]}"
elif on "$(check)" "${ids[@]}"; then
  say 'nothing to do'
  exit 0
else
  for id in "${ids[@]}"; do
    on "$(rollout)" "$id"
  done
fi

for address in "${public[@]}"; do
  until curl -fs --noproxy '*' --max-time 2 -o /dev/null "http://$address/up"; do sleep 1; done
  say "http://$address/ answers"
done
