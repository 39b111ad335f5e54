# Both are ready, which `systemctl start` waits for, and a task runs as the service's user.
systemctl start bireme-scheduler
systemctl start bireme-worker
for unit in bireme-scheduler bireme-worker; do
    [ "$(systemctl is-active $unit)" = active ]
    echo "$unit: $(systemctl show --property=StatusText --value $unit)"
done
cat >/run/bireme-job.toml <<'JOB'
[[task]]
name = "who"
command = ["id", "-un"]
JOB
runuser -u bireme -- bireme --access-file /run/bireme/access.toml run /run/bireme-job.toml 2>/dev/null | grep -x bireme
