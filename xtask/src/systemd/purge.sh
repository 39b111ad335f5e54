# Nothing is left but the user.
dpkg --purge bireme >/dev/null 2>&1
[ ! -e /etc/bireme ]
[ ! -e /var/lib/bireme ]
[ ! -e /usr/lib/systemd/system/bireme-worker.service ]
rm -f /run/bireme.deb /run/bireme-job.toml /run/bireme-job.out
