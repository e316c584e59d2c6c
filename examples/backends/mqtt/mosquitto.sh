#!/bin/sh
# Starts mosquitto in the folder $1, with MQTT over WebSocket on $PORT.
cd "$1" && rm -f mqtt.sock || exit
mosquitto_passwd -c -b passwords bot secret || exit
cat >mosquitto.conf <<END
user root
password_file passwords
log_type all
# mosquitto 2.0.11 listens on all addresses, whatever is said here.
listener $PORT 127.0.0.1
protocol websockets
# It does not start without a listener of the other kind.
listener 0 mqtt.sock
END
exec mosquitto -c mosquitto.conf
