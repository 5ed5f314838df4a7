package platform

import (
	"errors"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestLimits(t *testing.T) {
	missing := errors.New("not root\nand a line for each controller")
	for _, c := range []struct {
		name     string
		settings Settings
		asked    hop3.Limits
		want     hop3.Limits
		err      string
	}{
		{name: "none"},
		{name: "asked", asked: hop3.Limits{Memory: 64 << 20, CPU: 0.5, Processes: 10}, want: hop3.Limits{Memory: 64 << 20, CPU: 0.5, Processes: 10}},
		{name: "default", settings: Settings{LimitsDefault: hop3.Limits{Memory: 1 << 30, Processes: 100}}, asked: hop3.Limits{Processes: 5}, want: hop3.Limits{Memory: 1 << 30, Processes: 5}},
		{name: "the ceiling is the default of who asks for nothing", settings: Settings{LimitsCeiling: hop3.Limits{Memory: 1 << 30, CPU: 2}}, want: hop3.Limits{Memory: 1 << 30, CPU: 2}},
		{name: "a default above the ceiling", settings: Settings{LimitsDefault: hop3.Limits{CPU: 4}, LimitsCeiling: hop3.Limits{CPU: 2}}, want: hop3.Limits{CPU: 2}},
		{name: "above the ceiling", settings: Settings{LimitsCeiling: hop3.Limits{Memory: 1 << 30, CPU: 2, Processes: 9}}, asked: hop3.Limits{Memory: 3 << 29, CPU: 2.5, Processes: 10},
			err: "[limits] memory = 1.5 GiB is above the 1 GiB that this server gives an app\n[limits] cpu = 2.5 is above the 2 that this server gives an app\n[limits] processes = 10 is above the 9 that this server gives an app"},
		{name: "not enforced, strict", settings: Settings{LimitsMissing: missing, LimitsStrict: true}, asked: hop3.Limits{CPU: 1}, err: "which this server cannot enforce: not root"},
		{name: "not enforced, lenient", settings: Settings{LimitsMissing: missing}, asked: hop3.Limits{CPU: 1}, want: hop3.Limits{CPU: 1}},
		{name: "not enforced, not asked for", settings: Settings{LimitsMissing: missing, LimitsStrict: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &Platform{Settings: c.settings}
			got, err := p.limits(c.asked, hop3.Discard)
			if c.err != "" {
				if err == nil || !strings.Contains(hop3.MessageOf(err), c.err) || strings.Contains(err.Error(), "controller") {
					t.Errorf("the error is %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}
