package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// nameServer runs Knot DNS as the primary of example.com, which takes updates
// from who has the key, and returns its address. Its paths are the test's own.
func nameServer(t *testing.T, key string) (address string) {
	t.Helper()
	if _, err := exec.LookPath("knotd"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("knot is not installed; tests/run installs it")
	}
	dir := t.TempDir()
	var port int
	if err := freePorts(&port); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
server:
    listen: 127.0.0.1@%d
    rundir: %q
database:
    storage: %q
key:
  - id: hop3
    algorithm: hmac-sha256
    secret: %q
acl:
  - id: challenges
    key: hop3
    action: update
zone:
  - domain: example.com
    storage: %q
    file: zone
    acl: challenges
`, port, dir, dir, key, dir)
	const zone = "@ 60 IN SOA ns.example.com. admin.example.com. 1 3600 600 86400 1\n@ 60 IN NS ns.example.com.\nns 60 IN A 127.0.0.1\n"
	for name, text := range map[string]string{"knot.conf": config, "zone": "$ORIGIN example.com.\n" + zone} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(dir, "log")
	runLogged(t, log, nil, "knotd", "-c", filepath.Join(dir, "knot.conf"))
	t.Cleanup(func() {
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("knotd:\n%s", text)
		}
	})
	waitForPort(t, port)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// A wildcard gets its certificate by the DNS challenge, from a name server that
// is ours.
func TestWildcardByDNS(t *testing.T) {
	t.Parallel()
	const key = "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvbmx5IQ=="
	primary := nameServer(t, key)
	s := prepareServer(t)
	a := startAuthority(t, s, map[string]any{"resolver": primary})
	settings, err := json.Marshal(map[string]string{"server": primary, "key_name": "hop3", "key": key})
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, a.env()...)
	s.env = append(s.env, "ACME_DNS_PROVIDER=rfc2136", "ACME_DNS_CONFIG="+string(settings), "ACME_DNS_RESOLVERS="+primary)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	s.push(t, "shop", map[string]string{"index.html": "shop"})
	out, err := s.run(s.dir, "hop3", "domain", "add", "--wait", "--app", "shop", "*.shop.example.com")
	if err != nil || !strings.Contains(out, "Issued by Pebble") {
		t.Fatalf("domain add --wait of a wildcard: %v\n%s", err, out)
	}
	cert, err := s.certificateOf("any.shop.example.com")
	if err != nil || len(cert.DNSNames) != 1 || cert.DNSNames[0] != "*.shop.example.com" {
		t.Fatalf("the certificate: %v, %v", cert, err)
	}
	if other, err := s.certificateOf("other.shop.example.com"); err != nil || other.SerialNumber.Cmp(cert.SerialNumber) != 0 {
		t.Errorf("another host below it has another certificate: %v, %v", other, err)
	}
	// The answer to the challenge is not left behind.
	left, err := dns.Exchange(new(dns.Msg).SetQuestion("_acme-challenge.shop.example.com.", dns.TypeTXT), primary)
	if err != nil || left.Rcode != dns.RcodeNameError {
		t.Errorf("the challenge is still there: %v, %v", left, err)
	}
}

// An authority that wants an account named gets it, and where only the HTTPS
// port is open, it asks there (TLS-ALPN-01).
func TestCertificatesByAnAccountAndHTTPS(t *testing.T) {
	t.Parallel()
	const id, key = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	s := prepareServer(t)
	a := startAuthority(t, s, map[string]any{"externalAccountBindingRequired": true, "externalAccountMACKeys": map[string]string{id: key}})
	s.env = append(s.env, a.env()...)
	s.env = append(s.env, "HTTP_PORT=0", "ACME_EAB_KEY_ID="+id, "ACME_EAB_HMAC_KEY="+key)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	s.push(t, "shop", map[string]string{"index.html": "shop"})
	out, err := s.run(s.dir, "hop3", "domain", "add", "--wait", "--app", "shop", "www.shop.example.com", "*.wild.example.com")
	if err == nil || !strings.Contains(out, "Issued by Pebble") || !strings.Contains(out, "Set ACME_DNS_PROVIDER") {
		t.Errorf("domain add --wait of a host and a wildcard: %v\n%s", err, out)
	}
	if _, err := s.certificateOf("www.shop.example.com"); err != nil {
		t.Error(err)
	}
	out, err = s.run(s.dir, "hop3", "domain", "add", "--app", "shop", "*.more.example.com")
	if err != nil || !strings.Contains(out, "Warning: *.more.example.com needs a wildcard's certificate") {
		t.Errorf("domain add of a wildcard: %v\n%s", err, out)
	}
	if out, err := s.run(s.dir, "hop3", "cert", "status", "shop"); err != nil || !strings.Contains(out, "by a DNS challenge only") {
		t.Errorf("cert status: %v\n%s", err, out)
	}
}

// Two servers with one storage ask once, and either answers the challenge.
func TestServersShareCertificates(t *testing.T) {
	t.Parallel()
	first, second := prepareServer(t), prepareServer(t)
	a := startAuthority(t, second) // it asks the second one only
	storage := filepath.Join(t.TempDir(), "shared")
	var both sync.WaitGroup
	for _, s := range []*server{first, second} {
		s.env = append(s.env, a.env()...)
		s.env = append(s.env, "CERTIFICATE_STORAGE="+storage)
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		if err := s.logIn(); err != nil {
			t.Fatal(err)
		}
		both.Go(func() { s.push(t, "shop", map[string]string{"index.html": "shop"}) })
	}
	both.Wait()
	if t.Failed() {
		return
	}
	// The second one does not know the host yet, and has the challenge all the
	// same.
	if out, err := first.run(first.dir, "hop3", "domain", "add", "--wait", "--app", "shop", "one.shop.example.com"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	orders := func() int {
		text, err := os.ReadFile(a.log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "Issued certificate serial")
	}
	before := orders()
	for _, s := range []*server{first, second} {
		both.Go(func() {
			if out, err := s.run(s.dir, "hop3", "domain", "add", "--wait", "--app", "shop", "two.shop.example.com"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	both.Wait()
	one, err := first.certificateOf("two.shop.example.com")
	if err != nil {
		t.Fatal(err)
	}
	two, err := second.certificateOf("two.shop.example.com")
	if err != nil || one.SerialNumber.Cmp(two.SerialNumber) != 0 || orders() != before+1 {
		t.Errorf("two servers that ask at once have different certificates: %v; %d were issued", err, orders()-before)
	}
}

// Behind nginx the challenge is passed on, and the certificate comes to nginx.
func TestCertificatesBehindNginx(t *testing.T) {
	t.Parallel()
	s := prepareServer(t)
	a := startAuthority(t, s)
	s.env = append(s.env, a.env()...)
	s.env = append(s.env, "HOP3_PROXY_TYPE=nginx")
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	s.push(t, "shop", map[string]string{"index.html": "shop"})
	out, err := s.run(s.dir, "hop3", "domain", "add", "--wait", "--app", "shop", "www.shop.example.com")
	if err != nil || !strings.Contains(out, "Issued by Pebble") {
		t.Fatalf("domain add --wait: %v\n%s", err, out)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		cert, err := s.certificateOf("www.shop.example.com")
		if err == nil && strings.HasPrefix(cert.Issuer.CommonName, "Pebble") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx shows %v, %v", cert, err)
		}
	}
}
