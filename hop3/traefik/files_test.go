package traefik

import (
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/front"
)

func place() front.Place {
	return front.Place{
		Dir: "/h/traefik", Work: "/h/front/traefik",
		Sockets: []front.Socket{
			{Name: "http", Address: "[::]:8080"}, {Name: "https", Address: "[::]:8443"}, {Name: "status", Address: "127.0.0.1:8081"},
		},
		Backend: front.Backend{TCP: "127.0.0.1:9000", Secret: "secret"}, Status: "127.0.0.1:8081", Generation: "abc123",
	}
}

// routersOf reads what a file says of routers and certificates.
func routersOf(t interface{ Fatal(...any) }, text []byte) (routers map[string]struct{ Rule, Service string }, certificates []map[string]string) {
	var read struct {
		HTTP struct {
			Routers map[string]struct{ Rule, Service string }
		}
		TLS struct {
			Certificates []map[string]string
		}
	}
	if err := yaml.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return read.HTTP.Routers, read.TLS.Certificates
}

func TestEveryHostIsInTheRule(t *testing.T) {
	files, err := new(Traefik).Files(place(), []front.Site{{App: "blog", Hosts: []string{"a.test", "*.b.test"}, Certificates: []front.Certificate{
		{Host: "a.test", File: "/h/a.pem", Fingerprint: "01"},
		{Host: "*.b.test", File: "/h/b.pem", Fingerprint: "02"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	routers, certificates := routersOf(t, files["blog.yml"])
	for _, name := range []string{"blog-http", "blog-https"} {
		if got := routers[name]; got.Rule != "Host(`a.test`) || HostRegexp(`^[^.]+\\.b\\.test$`)" || got.Service != "hop3" {
			t.Errorf("%s is %+v", name, got)
		}
	}
	if len(certificates) != 2 || certificates[0]["certFile"] != "/h/a.pem" || certificates[1]["keyFile"] != "/h/b.pem" {
		t.Errorf("the certificates are %v", certificates)
	}
	if routers, _ := routersOf(t, files[mainFile]); routers["hop3-default-http"].Rule != "PathPrefix(`/`)" {
		t.Errorf("nobody else's are %v", routers)
	}
}

// TestNothingBreaksOut writes any paths and hosts, and reads them back as YAML:
// they are what they were, or refused.
func TestNothingBreaksOut(t *testing.T) {
	hostile := rapid.StringOfN(rapid.RuneFrom([]rune("ab.\"'`\\:{}[]#&*!|>%@,\n\té\u2028")), 1, 30, -1)
	rapid.Check(t, func(t *rapid.T) {
		host, path := hostile.Draw(t, "host"), hostile.Draw(t, "path")
		site := front.Site{App: "blog", Hosts: []string{host}, Certificates: []front.Certificate{{Host: host, File: path}}}
		files, err := new(Traefik).Files(place(), []front.Site{site})
		if err != nil {
			if hop3.CodeOf(err) != hop3.CodeInvalid || hop3.ValidateHost(host) == nil {
				t.Fatalf("%q is refused: %v", host, err)
			}
			return
		}
		routers, certificates := routersOf(t, files["blog.yml"])
		if got := routers["blog-http"].Rule; strings.Count(got, "`") != 2 || len(routers) != 2 {
			t.Fatalf("%q becomes %q", host, got)
		}
		if want := []map[string]string{{"certFile": path, "keyFile": path}}; !reflect.DeepEqual(certificates, want) {
			t.Fatalf("%q is read as %q", path, certificates)
		}
	})
}
