package caddymodules

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestCaddyfiles adapts what stands above the line in each file of
// testdata/adapt, and compares it with what stands below.
func TestCaddyfiles(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(b), "----------\n")
			got := adapt(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+"----------\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("adapted to:\n%s", got)
			}
		})
	}
}

func adapt(t *testing.T, input string) string {
	t.Helper()
	out, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			t.Error(w)
		}
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, out, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return pretty.String() + "\n"
}

func TestTheBaseConfigurationIsValid(t *testing.T) {
	home := t.TempDir()
	config, err := BaseConfig(BaseOptions{
		Home: home, HTTPPort: 80, HTTPSPort: 443, HTTP3: true, RPCAddress: "127.0.0.1:8000",
		ControlHosts: []string{"hop3.example.com", "192.0.2.1"}, ACME: ACMEOptions{Email: "admin@example.com"},
		ControlHandlers: []json.RawMessage{[]byte(`{"handler": "static_response"}`)},
		TrustedProxies:  []string{"10.0.0.0/8"},
		App:             []byte(`{"home": "` + home + `"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&cfg); err != nil {
		t.Fatal(err)
	}
}

func TestTheAdminAPIIsOff(t *testing.T) {
	if a := baseAdmin(); !a.Disabled {
		t.Errorf("%+v", a)
	}
}

func TestModulesAreRegistered(t *testing.T) {
	for _, id := range []string{
		"hop3", "hop3.proxies.caddy", "http.handlers.hop3_apps", "http.handlers.hop3_rpc", "http.reverse_proxy.upstreams.hop3",
		"http.reverse_proxy.selection_policies.hop3", "tls.permission.hop3", "tls.get_certificate.hop3",
	} {
		if _, err := caddy.GetModule(id); err != nil {
			t.Error(err)
		}
	}
}
