# shellcheck shell=sh
# Tells what a deployment depends on and does not see: room for images, the clock, a pending update, the instance's role.
# Changes nothing.

# room FOLDER: free and all kilobytes of its file system.
room() {
  df -P -k "$1" 2>/dev/null | awk 'NR == 2 { print $4 "\t" $2 }'
}

# Where Docker keeps its images; before its first start that is the root.
images=$(room "$ROOT/var/lib/docker")
printf 'room\t%s\n' "${images:-$(room "$ROOT/")}" >>"$WORK/report"
printf 'clock\t%s\n' "$(now)" >>"$WORK/report"
update=$(update_engine_client -status 2>/dev/null | sed -n 's/^CURRENT_OP=//p')
printf 'update\t%s\n' "${update:--}" >>"$WORK/report"
role=$(metadata iam/security-credentials/ | head -n 1)
printf 'role\t%s\n' "${role:--}" >>"$WORK/report"
send "$WORK/report"
exit 0
