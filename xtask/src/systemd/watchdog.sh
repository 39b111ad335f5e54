# A daemon whose loop turns is left alone; one whose loop stands still is killed, all that it started with it, and started
# again.
property() { systemctl show --property="$2" --value "$1"; }
until_true() { until "$@"; do sleep 0.1; done; }

pinged() { [ "$(property "$unit" WatchdogTimestampMonotonic)" != "$heard" ]; }
is_back() {
    [ "$(property "$unit" NRestarts)" = 1 ] && [ "$(systemctl is-active "$unit")" = active ]
}

for unit in bireme-scheduler bireme-worker; do
    mkdir -p /run/systemd/system/$unit.service.d
    printf '[Service]\nWatchdogSec=2\n' >/run/systemd/system/$unit.service.d/watchdog.conf
    systemctl daemon-reload
    systemctl restart $unit
    for _ in 1 2 3 4 5; do
        heard=$(property $unit WatchdogTimestampMonotonic)
        until_true pinged
    done
    [ "$(property $unit NRestarts)" = 0 ]
    main=$(property $unit MainPID)
    # The worker's main process is a supervisor, and the loop is its child's.
    daemon=$(cut -d' ' -f1 /proc/"$main"/task/"$main"/children)
    kill -STOP "${daemon:-$main}"
    until_true is_back
    for dead in "$main" "${daemon:-$main}"; do
        if kill -0 "$dead" 2>/dev/null; then exit 1; fi
    done
    echo "$unit: five pings, then stopped at ${daemon:-$main}, back as $(property $unit MainPID)"
    rm -r /run/systemd/system/$unit.service.d
    systemctl daemon-reload
done
