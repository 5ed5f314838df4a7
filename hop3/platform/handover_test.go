package platform

import (
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestHandoverLine(t *testing.T) {
	for want, h := range map[string]hop3.Handover{
		"Switched from v3 in 90µs, with no request under way":                                                  {},
		"Switched from v3 in 90µs with 12 under way: 12 finished on v3, 0 failed":                              {UnderWay: 12},
		"Switched from v3 in 90µs with 12 under way: 8 finished on v3, 1 failed, 3 go on there for up to 1m0s": {UnderWay: 12, Left: 3, Failed: 1},
	} {
		if got := handoverLine(3, "90µs", h, time.Minute); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
