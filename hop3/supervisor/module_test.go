package supervisor

import (
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestModule(t *testing.T) {
	info, err := caddy.GetModule("hop3.runtimes.native")
	if err != nil {
		t.Fatal(err)
	}
	native := info.New().(*Native)
	native.PortMin, native.PortMax = 25000, 25010
	r, err := native.Open(t.TempDir(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Name() != "native" {
		t.Errorf("its name is %q", r.Name())
	}
	native.PortMin = 70000
	if _, err := native.Open(t.TempDir(), nil, nil); err == nil {
		t.Error("a range that is none was accepted")
	}
}
