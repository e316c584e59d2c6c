// PeerJS's own server, which forgets a peer after 5 s without a heartbeat.
import { PeerServer } from "peer";

PeerServer({ port: process.env.PORT, host: process.env.HOST, alive_timeout: 5000 }, () => console.log("listening"))
  .on("message", (peer, message) => console.log(peer.getId(), message.type));
