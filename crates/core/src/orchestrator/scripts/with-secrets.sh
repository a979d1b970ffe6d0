#!/bin/sh
# Runs a command with secrets of Parameter Store, which pass through no text of anybody's: this host asks for them with its own
# role. Installed by `configure` as /opt/skipper/with-secrets; `pull` runs it without a command, to have everything at hand.
#
#   with-secrets FOLDER [--secret [VARIABLE=]NAME:VERSION]... [COMMAND [WORD]...]
#   with-secrets --ecr REGION     prints the login to the registries of ECR in a region, as Docker's `auth`
#
# FOLDER is where the parameters are. Each version is fetched once, into a file on tmpfs that is gone with the next boot (below
# SKIPPER_SECRETS where that is set); with VARIABLE it is in the command's environment, too.
set -u
LC_ALL=C
export LC_ALL
ROOT=${SKIPPER_ROOT:-}
METADATA=http://169.254.169.254/latest

say() {
  echo "skipper: $*" >&2
}

# missing: the versions that are not here yet.
missing() {
  printf '%s' "$names" | sort -u | while IFS=: read -r name version; do
    [ -e "$HERE/$name.$version" ] || echo "$name:$version"
  done
}

# ask PATH [ARGUMENT]...: an answer of the instance's metadata service.
ask() {
  path=$1
  shift
  curl -fsS --noproxy '*' --max-time 5 --retry 3 "$METADATA/$path" "$@"
}

# identify: sets the region, and the credentials of this instance's role.
identify() {
  if ! { token=$(ask api/token -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60') &&
    region=$(ask meta-data/placement/region -H "X-aws-ec2-metadata-token: $token") && credentials=$(role); }; then
    say 'the metadata service gives this instance no credentials: has its instance profile a role?'
    return 1
  fi
}

# domain: of the services in the region.
domain() {
  case $region in
    cn-*) echo amazonaws.com.cn ;;
    *) echo amazonaws.com ;;
  esac
}

# role: the credentials of this instance's role, as curl's configuration: on its command line everybody could read them.
role() {
  name=$(ask meta-data/iam/security-credentials/ -H "X-aws-ec2-metadata-token: $token") || return 1
  ask "meta-data/iam/security-credentials/$name" -H "X-aws-ec2-metadata-token: $token" |
    jq -er 'select(.Token) | "user = \"\(.AccessKeyId):\(.SecretAccessKey)\"\nheader = \"x-amz-security-token: \(.Token)\""'
}

# fetch: everything that is missing, ten at a time.
fetch() {
  [ -n "$(missing)" ] || return 0
  identify || return 1
  missing | jq -Rnc --arg folder "$folder" '[inputs | "\($folder)/\(.)"] | range(0; length; 10) as $from | { Names: .[$from:$from + 10], WithDecryption: true }' >"$work/requests"
  while IFS= read -r request; do
    call ssm "${AWS_ENDPOINT_URL_SSM:-https://ssm.$region.$(domain)}" AmazonSSM.GetParameters "$request" || {
      say "Systems Manager in $region cannot be asked for secrets"
      return 1
    }
    keep || return 1
  done <"$work/requests"
}

# log_in REGION: the login, for twelve hours. What it opens is what the role may do.
log_in() {
  identify || return 1
  region=$1
  call ecr "${AWS_ENDPOINT_URL_ECR:-https://api.ecr.$region.$(domain)}" AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken '{}' || {
    say "ECR in $region cannot be asked for a login"
    return 1
  }
  jq -er '.authorizationData[0].authorizationToken // empty' "$work/answer" 2>/dev/null || {
    say "ECR in $region gives no login (ecr:GetAuthorizationToken): $(refusal)"
    return 1
  }
}

# call SERVICE ADDRESS TARGET REQUEST: what AWS says to it, in $work/answer. Where many hosts begin at once, some are told to come
# again.
call() {
  for pause in 1 2 4 8 ''; do
    printf '%s\n' "$credentials" | curl -sS --max-time 20 --retry 3 -K - --aws-sigv4 "aws:amz:$region:$1" \
      -H "X-Amz-Target: $3" -H 'Content-Type: application/x-amz-json-1.1' --data "$4" -o "$work/answer" --url "$2/" || return 1
    { [ -n "$pause" ] && is_throttled; } || return 0
    sleep "$pause"
  done
}

is_throttled() {
  jq -e '.__type | test("Throttl|TooMany")' "$work/answer" >/dev/null 2>&1
}

# refusal: why the answer is none.
refusal() {
  words=$(jq -r '"\(.__type | sub(".*#"; "")): \(.message // .Message // "")"' "$work/answer" 2>/dev/null) || words='its answer is none of its own'
  printf '%s' "$words" | cut -c1-300
}

# keep: puts what was answered into its files, each at once. Whoever may enter the folder is root; in a container it is mounted
# into, a file is read by whatever user runs there.
keep() {
  jq -e 'has("Parameters")' "$work/answer" >/dev/null 2>&1 || {
    say "Systems Manager gives no secrets: $(refusal)"
    return 1
  }
  jq -r '.Parameters | length | range(.)' "$work/answer" >"$work/indices"
  while read -r index; do
    file=$HERE/$(jq -r --argjson index "$index" '.Parameters[$index] | "\(.Name | split("/") | last | split(":") | first).\(.Version)"' "$work/answer")
    jq -j --argjson index "$index" '.Parameters[$index].Value' "$work/answer" >"$work/value" || return 1
    chmod 444 "$work/value"
    mv -f "$work/value" "$file" || return 1
  done <"$work/indices"
  jq -r '.InvalidParameters // [] | .[]' "$work/answer" >"$work/invalid"
  if [ -s "$work/invalid" ]; then
    say "Parameter Store has no $(paste -s -d ' ' "$work/invalid")"
    return 1
  fi
}

if [ "$1" = --ecr ]; then
  work=$(mktemp -d "$ROOT/run/skipper/.login.XXXXXX") || exit 1
  trap 'rm -rf "$work"' EXIT
  log_in "$2"
  exit
fi

folder=$1
shift
HERE=${SKIPPER_SECRETS:-$ROOT/run/skipper/secrets}$folder

# The names, one a line, and the variables with the names that they are given.
names=
variables=
while [ "${1:-}" = --secret ]; do
  names="$names${2#*=}
"
  case $2 in
    *=*) variables="$variables$2
" ;;
  esac
  shift 2
done

if [ -n "$names" ]; then
  umask 077
  mkdir -p "$HERE" || exit 1
  # One at a time: what starts beside this one wants much the same.
  (
    flock 9
    work=$(mktemp -d "$HERE/.work.XXXXXX") || exit 1
    trap 'rm -rf "$work"' EXIT
    fetch
  ) 9>"$HERE/.lock" || exit 1
  umask 022
fi

# A secret may have any name but those that begin with `SKIPPER_`, and must not get in the way of the next one.
SKIPPER_HERE=$HERE
while IFS='=' read -r SKIPPER_VARIABLE SKIPPER_SECRET; do
  [ -n "$SKIPPER_VARIABLE" ] || continue
  # What is read ends in one more character, or line breaks at its end would be lost.
  SKIPPER_VALUE=$(cat "$SKIPPER_HERE/${SKIPPER_SECRET%:*}.${SKIPPER_SECRET##*:}" && printf x) || exit 1
  export "$SKIPPER_VARIABLE=${SKIPPER_VALUE%x}"
done <<VARIABLES
$variables
VARIABLES

[ $# -eq 0 ] || exec "$@"
