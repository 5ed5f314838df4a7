package nginx

import (
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestRefuses_NamesWhatNginxCannotDo(t *testing.T) {
	n := &Nginx{}
	if got := n.Refuses(hop3.Route{Policy: &hop3.HTTPPolicy{Upstream: hop3.UpstreamH2C}}); len(got) != 1 || got[0] != `[http] upstream = "h2c"` {
		t.Errorf("h2c: %q", got)
	}
	if got := n.Refuses(hop3.Route{Policy: &hop3.HTTPPolicy{}}); len(got) != 0 {
		t.Errorf("nothing asked for: %q", got)
	}
}
