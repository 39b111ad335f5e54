# The package installs, makes its user, and neither starts nor enables anything.
dpkg --purge bireme >/dev/null 2>&1 || true
dpkg --install /run/bireme.deb >/dev/null
id bireme
for unit in bireme-scheduler bireme-worker; do
    [ "$(systemctl is-enabled $unit)" = disabled ]
    [ "$(systemctl is-active $unit)" = inactive ]
done
