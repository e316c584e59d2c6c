#!/bin/sh
# Starts Janus with its folders in $1, the API on WebSocket $PORT, and only the plugin EchoTest.
# A session ends after 10 s without a message, and may be claimed by another connection for 10 s.
mkdir -p "$1/plugins" "$1/transports" && cd "$1" || exit
ln -sf /usr/lib/*/janus/plugins/libjanus_echotest.so plugins
ln -sf /usr/lib/*/janus/transports/libjanus_websockets.so transports
cat >janus.jcfg <<END
general: {
	plugins_folder = "$PWD/plugins"
	transports_folder = "$PWD/transports"
	session_timeout = 10
	reclaim_session_timeout = 10
	debug_level = 5
	debug_colors = false
}
END
echo 'general: {}' >janus.plugin.echotest.jcfg
echo "general: { ws = true, ws_port = $PORT, ws_ip = \"$HOST\", wss = false }" >janus.transport.websockets.jcfg
exec janus --configs-folder="$PWD"
