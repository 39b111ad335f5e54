# An attempt that runs when its worker is stopped is finished and told; then nothing is left.
cat >/run/bireme-job.toml <<'JOB'
[[task]]
name = "slow"
command = ["sh", "-c", "sleep 3; echo finished"]
JOB
runuser -u bireme -- bireme --access-file /run/bireme/access.toml run /run/bireme-job.toml >/run/bireme-job.out 2>&1 &
job=$!
until pgrep -u bireme -x sleep >/dev/null; do sleep 0.1; done
systemctl stop bireme-worker
wait $job || { cat /run/bireme-job.out; exit 1; }
grep -x finished /run/bireme-job.out
systemctl stop bireme-scheduler
for unit in bireme-scheduler bireme-worker; do
    [ "$(systemctl show --property=Result --value $unit)" = success ]
done
if pgrep -u bireme; then exit 1; fi
[ ! -e /run/bireme ]
[ -z "$(find /dev/shm -user bireme)" ]
