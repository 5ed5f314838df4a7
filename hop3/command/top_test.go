package command

import (
	"fmt"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
)

func TestTopCells(t *testing.T) {
	busy := platform.TopRow{
		Traffic: hop3.Traffic{App: "blog", Release: 3, Live: true, InFlight: 2, Held: 1, Rate: 40, ErrorRate: 1, P50: 1234 * time.Microsecond, P95: 123456 * time.Microsecond, P99: 2500 * time.Millisecond},
		Running: 2, Memory: 123 << 20, CPU: 1.254, Measured: true,
	}
	asleep := platform.TopRow{Traffic: hop3.Traffic{App: "shop"}, State: hop3.RouteAsleep}
	instance := platform.TopRow{Traffic: hop3.Traffic{App: "blog", Release: 3}, Instance: "web.1", State: "backoff", Measured: true, Memory: 900}
	for _, c := range []struct {
		row       platform.TopRow
		raw, want string
	}{
		{busy, "[v3 40 1 0.001234 0.123456 2.5 2 1 2 128974848 1.254]", "[v3, live 40.0 2.5% 1.2ms 123ms 2.5s 2 1 2 123M 125.4%]"},
		{asleep, "[shop 0 0 0 0 0 0 0 0 <nil> <nil>]", "[(no release) 0.0       asleep  ]"},
		{instance, "[web.1 <nil> <nil> <nil> <nil> <nil> <nil> <nil> <nil> 900 0]", "[  web.1        backoff 1K 0.0%]"},
	} {
		if got := fmt.Sprint(topCells(c.row, topName(c.row, true))); got != c.want {
			t.Errorf("%q, not %q", got, c.want)
		}
		if got := fmt.Sprint(rawCells(c.row, "")); got != c.raw {
			t.Errorf("%q, not %q", got, c.raw)
		}
	}
	for n, want := range map[int64]string{0: "0K", 512 << 10: "512K", 1 << 20: "1.0M", 1500 << 20: "1.5G", 300 << 30: "300G"} {
		if got := shortBytes(n); got != want {
			t.Errorf("%d bytes are %s, not %s", n, got, want)
		}
	}
}
