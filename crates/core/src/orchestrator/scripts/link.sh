# shellcheck shell=sh
# Tells this host's containers where the services are that they link to: writes the hosts file that is mounted into them.
read_table
exclusive

{
  echo '127.0.0.1 localhost'
  tr '\t' ' ' <"$WORK/own"
  # What containers of this host are to themselves, as they were started.
  grep -s '^127\.0\.1\.1 ' "$HOSTS_FILE"
} >"$WORK/hosts"

# In place: what is mounted is the file and not its name, and containers that run are to see it. In one write, with blank lines
# in place of what there was more, so that none of them reads half of it.
mkdir -p "${HOSTS_FILE%/*}"
size=$(stat -c %s "$WORK/hosts")
more=$(($(stat -c %s "$HOSTS_FILE" 2>/dev/null || echo 0) - size))
[ "$more" -le 0 ] || head -c "$more" /dev/zero | tr '\0' '\n' >>"$WORK/hosts"
{ dd if="$WORK/hosts" of="$HOSTS_FILE" bs=1M conv=notrunc,fsync status=none && truncate -s "$size" "$HOSTS_FILE"; } ||
  fail other "$HOSTS_FILE cannot be written: $(last_words "$WORK/log")"
succeed
