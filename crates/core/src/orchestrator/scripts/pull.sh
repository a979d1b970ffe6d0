# shellcheck shell=sh
# Fetches this host's secrets and images, images side by side; what is there already is left alone. Waits for no lock and holds
# none: it may run beside the configuration, and a download that hangs keeps nothing else from the host.
read_table
# Nothing is raised: the host is being configured meanwhile.
[ -z "${FENCE:-}" ] || behind_fence

# of KIND: this host's lines of one kind, without it.
of() {
  awk -F '\t' -v kind="$1" '$1 == kind { sub(/^[^\t]*\t/, ""); print }' "$WORK/own" | sort -u
}

# with_secrets FOLDER: fetches the versions that come on standard input from a folder of the environment.
with_secrets() {
  folder=/skipper/$SCOPE/$1
  set --
  while read -r secret; do
    set -- "$@" --secret "$secret"
  done
  [ $# -gt 0 ] || return 0
  sh "$WORK/with-secrets" "$folder" "$@" 2>"$WORK/with-secrets.err" ||
    fail secret "$(last_words "$WORK/with-secrets.err" | sed 's/^skipper: //')"
}

printf '%s' "$WITH_SECRETS" >"$WORK/with-secrets"
of secret >"$WORK/secrets"
with_secrets secrets <"$WORK/secrets"

# What is not here yet.
of image | while read -r image; do
  docker image inspect "$image" >/dev/null 2>&1 || printf '%s\n' "$image"
done >"$WORK/images"

# log_in REGISTRY FILE: Docker shows the login that is in the file, for as long as this takes, by a configuration that nobody else
# reads and that is in memory.
log_in() {
  DOCKER_CONFIG=$WORK/docker
  export DOCKER_CONFIG
  if [ ! -d "$DOCKER_CONFIG" ]; then
    mkdir -m 700 "$DOCKER_CONFIG"
    echo '{}' >"$DOCKER_CONFIG/config.json"
  fi
  jq --rawfile auth "$2" --arg registry "$1" '.auths[$registry] = { auth: $auth | rtrimstr("\n") }' "$DOCKER_CONFIG/config.json" >"$DOCKER_CONFIG/new" ||
    fail other "the login to $1 cannot be used: $(last_words "$WORK/log")"
  mv -f "$DOCKER_CONFIG/new" "$DOCKER_CONFIG/config.json"
}

of login >"$WORK/logins"
if [ -s "$WORK/logins" ]; then
  cut -f 1 "$WORK/logins" >"$WORK/login-names"
  # Not where secrets are kept: it is for this once.
  SKIPPER_SECRETS=$WORK/login
  export SKIPPER_SECRETS
  with_secrets logins <"$WORK/login-names"
  while IFS=$TAB read -r login registry; do
    log_in "$registry" "$WORK/login/skipper/$SCOPE/logins/${login%:*}.${login##*:}"
  done <"$WORK/logins"
fi

# by_role IMAGE: whether its registry takes the login of this host's own role.
by_role() {
  cut -f 1 "$WORK/role-logins" | grep -q -x -F "${1%%/*}"
}

of role-login >"$WORK/role-logins"
while IFS=$TAB read -r registry region; do
  grep -q "^$registry/" "$WORK/images" || continue
  sh "$WORK/with-secrets" --ecr "$region" >"$WORK/role-login" 2>"$WORK/role-login.err" ||
    fail registry-role "this host gets no login to $registry by its own role: $(last_words "$WORK/role-login.err" | sed 's/^skipper: //')"
  log_in "$registry" "$WORK/role-login"
done <"$WORK/role-logins"

# pull IMAGE FILE: its last words are in FILE where it fails.
pull() {
  # Once more where the network hiccuped: a pull goes on with the layers it has.
  timeout 900 docker pull --quiet "$1" >"$2" 2>&1 || timeout 900 docker pull --quiet "$1" >"$2" 2>&1 ||
    printf '%s\n' "$1" >"$2.failed"
}

number=0
while read -r image; do
  number=$((number + 1))
  pull "$image" "$WORK/pull.$number" &
done <"$WORK/images"
wait

for failed in "$WORK"/pull.*.failed; do
  [ -e "$failed" ] || continue
  words=$(last_words "${failed%.failed}")
  case $words in
    *'no space left'*) kind=disk-full ;;
    *'no matching manifest'* | *'does not match the specified platform'*) kind=platform ;;
    *denied* | *'not authorized'* | *'403 Forbidden'*) if by_role "$(cat "$failed")"; then kind='registry-role'; else kind=pull; fi ;;
    *) kind=pull ;;
  esac
  fail "$kind" "$(cat "$failed"): $words"
done
succeed
