package main

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wechatws/wechatws"
	"github.com/wechatws/wechatws/examples/backends/internal/backend"
)

// What is said before the broker is there, and while it is away, is heard from it: nothing
// overtakes CONNECT and SUBSCRIBE.
func TestWhatIsSaidWhileTheBrokerIsAwayIsHeard(t *testing.T) {
	backend.Need(t, "mosquitto")
	broker := backend.Start(t, "running", "sh", "mosquitto.sh", t.TempDir())
	broker.Kill()
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+broker.Addr, "bot", "secret", "numbers") })
	bot.Expect("said: 1")
	broker.Start()
	bot.Expect("heard: 1")

	broker.Kill()
	said := strconv.Itoa(bot.Count("said: ") + 3) // the next one may be written before the bot knows
	bot.Expect("said: " + said)
	broker.Start()
	bot.Expect("heard: " + said)
	broker.Expect("Sending PINGRESP")
	bot.Expect("heard: ")
	require.NoError(t, bot.Stop())
	require.Equal(t, 2, broker.Count("SUBSCRIBE")) // once a connection
}

func TestAWrongPasswordIsPermanent(t *testing.T) {
	backend.Need(t, "mosquitto")
	broker := backend.Start(t, "running", "sh", "mosquitto.sh", t.TempDir())
	bot := backend.Run(t, func(ctx context.Context) error { return run(ctx, "ws://"+broker.Addr, "bot", "wrong", "numbers") })
	require.ErrorContains(t, bot.Wait(), "the broker refuses user")
}

// A message holds a packet and a half, the next one the other half.
func TestPackets(t *testing.T) {
	stream := append(packet(publish, field("a"), []byte("one")), packet(publish, field("a"), make([]byte, 300))...)
	unpack := packets(1)
	var payloads []int
	for _, part := range [][]byte{stream[:10], stream[10:]} {
		whole, err := unpack(wechatws.Message{Data: part, Binary: true})
		require.NoError(t, err)
		for _, m := range whole {
			payload, ok := published(m)
			require.True(t, ok)
			payloads = append(payloads, len(payload))
		}
	}
	require.Equal(t, []int{3, 300}, payloads)
	_, err := unpack(wechatws.Message{Data: []byte{publish, 0xff, 0xff, 0xff, 0x7f}})
	require.ErrorIs(t, err, errLength)
}
