package tests

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// authority is a Pebble: a real ACME server, which checks the names it is asked
// for by asking our server, where a DNS server of its own sends it.
type authority struct {
	directory string
	rootFile  string // of its own HTTPS
	dns       int    // port of the DNS server's management
	log       string // file of what it says
}

// startAuthority starts Pebble for a server's ports. More settings of its own
// replace those it has.
func startAuthority(t *testing.T, s *server, settings ...map[string]any) *authority {
	t.Helper()
	for _, program := range []string{"pebble", "pebble-challtestsrv"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip("pebble is not installed; tests/run installs it")
		}
	}
	dir := t.TempDir()
	var api, dns, management, admin int
	if err := freePorts(&api, &dns, &management, &admin); err != nil {
		t.Fatal(err)
	}
	a := &authority{directory: fmt.Sprintf("https://127.0.0.1:%d/dir", api), rootFile: filepath.Join(dir, "root.pem"), dns: management}
	keyFile := filepath.Join(dir, "key.pem")
	selfSigned(t, a.rootFile, keyFile, time.Now().Add(time.Hour), "127.0.0.1")
	pebble := map[string]any{
		"listenAddress": "127.0.0.1:" + strconv.Itoa(api), "managementListenAddress": "127.0.0.1:" + strconv.Itoa(admin),
		"certificate": a.rootFile, "privateKey": keyFile, "httpPort": s.http, "tlsPort": s.https,
	}
	for _, more := range settings {
		maps.Copy(pebble, more)
	}
	resolver, _ := pebble["resolver"].(string) // ours: an argument of the program
	delete(pebble, "resolver")
	config, err := json.Marshal(map[string]any{"pebble": pebble})
	if err != nil {
		t.Fatal(err)
	}
	configFile := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(configFile, config, 0o600); err != nil {
		t.Fatal(err)
	}
	local := func(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
	a.log = filepath.Join(dir, "pebble.log")
	runBeside(t, nil, "pebble-challtestsrv", "-dns01", local(dns), "-management", local(management), "-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "")
	// It does not wait before it looks, and refuses no good nonces: that is
	// for testing other things.
	runLogged(t, a.log, []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0"}, "pebble", "-config", configFile, "-dnsserver", cmp.Or(resolver, local(dns)))
	for _, port := range []int{api, management} {
		waitForPort(t, port)
	}
	return a
}

// env is what a server needs to know of the authority.
func (a *authority) env() []string {
	return []string{"ACME_SERVER=" + a.directory, "ACME_ROOT_CA=" + a.rootFile, "ACME_EMAIL=admin@example.org"}
}

// points has a name point to another address than ours.
func (a *authority) points(t *testing.T, host, address string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"host": host + ".", "addresses": []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	what := "add-a"
	if address == "" {
		what = "clear-a"
	}
	resp, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/%s", a.dns, what), "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("setting the address of %s: %s", host, resp.Status)
	}
}

// runBeside runs a program until the test ends.
func runBeside(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	runLogged(t, os.DevNull, env, name, args...)
}

// runLogged is runBeside with what the program says in a file.
func runLogged(t *testing.T, file string, env []string, name string, args ...string) {
	t.Helper()
	log, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func waitForPort(t *testing.T, port int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// selfSigned writes a certificate for the names, and its key.
func selfSigned(t *testing.T, certFile, keyFile string, until time.Time, names ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0], Organization: []string{"Test"}},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// certificateOf returns the certificate the server shows for a name.
func (s *server) certificateOf(name string) (*x509.Certificate, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", fmt.Sprintf("127.0.0.1:%d", s.https), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// hosted starts a server with Pebble as its authority, and an app on it.
func hosted(t *testing.T) (*server, *authority) {
	t.Helper()
	s := prepareServer(t)
	a := startAuthority(t, s)
	s.env = append(s.env, a.env()...)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	s.push(t, "shop", map[string]string{"index.html": "shop"})
	return s, a
}

func TestCertificatesByACME(t *testing.T) {
	t.Parallel()
	s, a := hosted(t)
	hop3 := func(args ...string) string {
		t.Helper()
		out, err := s.run(s.dir, "hop3", args...)
		if err != nil {
			t.Fatalf("hop3 %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}

	// A new host: the steps, and the certificate, before anybody has come.
	out := hop3("domain", "add", "--wait", "--app", "shop", "www.shop.example.com")
	if !strings.Contains(out, "Getting a certificate for www.shop.example.com") || !strings.Contains(out, "Issued by Pebble") {
		t.Errorf("domain add --wait says:\n%s", out)
	}
	cert, err := s.certificateOf("www.shop.example.com")
	if err != nil || cert.VerifyHostname("www.shop.example.com") != nil || !strings.HasPrefix(cert.Issuer.CommonName, "Pebble") {
		t.Fatalf("the certificate: %v, %v", cert, err)
	}
	if out := hop3("cert", "list"); !strings.Contains(out, "acme") || !strings.Contains(out, "by Pebble") {
		t.Errorf("cert list says:\n%s", out)
	}

	// Without --wait it comes in the background, and whoever is there first
	// waits for it. One that is forced to is another one.
	hop3("domain", "add", "--app", "shop", "shop.example.com")
	if cert, err = s.certificateOf("shop.example.com"); err != nil || cert.VerifyHostname("shop.example.com") != nil {
		t.Fatalf("the certificate: %v, %v", cert, err)
	}
	before := cert.SerialNumber
	hop3("cert", "renew", "--force", "shop")
	if cert, err = s.certificateOf("shop.example.com"); err != nil || cert.SerialNumber.Cmp(before) == 0 {
		t.Errorf("after a forced renewal: %v, %v", cert, err)
	}

	// What fails: the true reason, the app as it was, and a later attempt that
	// succeeds. No order is made for each visitor meanwhile.
	a.points(t, "late.example.com", "127.0.0.9") // nobody listens there
	out, err = s.run(s.dir, "hop3", "domain", "add", "--wait", "--app", "shop", "late.example.com")
	if err == nil || !strings.Contains(out, "127.0.0.9") || !strings.Contains(out, "the DNS record must point here") {
		t.Errorf("domain add --wait of a host that points elsewhere: %v\n%s", err, out)
	}
	if out := hop3("app", "status", "--app", "shop"); !strings.Contains(out, "no certificate for late.example.com") || !strings.Contains(out, "next attempt at") {
		t.Errorf("app status says:\n%s", out)
	}
	if _, err := s.certificateOf("late.example.com"); err == nil {
		t.Error("a handshake without a certificate succeeded")
	}
	a.points(t, "late.example.com", "")
	if out := hop3("cert", "renew", "shop"); !strings.Contains(out, "late.example.com has a certificate by Pebble") {
		t.Errorf("cert renew says:\n%s", out)
	}
	if _, err := s.certificateOf("late.example.com"); err != nil {
		t.Error(err)
	}

	// All of that was noted, with the reason of what failed.
	out = hop3("events", "--app", "shop", "--kind", "certificate", "-n", "100")
	for want, times := range map[string]int{
		"a certificate for www.shop.example.com was issued": 1, "a certificate for shop.example.com was issued": 2, // the second by the renewal
		"a certificate for late.example.com was issued": 1,
	} {
		if got := strings.Count(out, want); got < times {
			t.Errorf("%q is an event %d times, want %d:\n%s", want, got, times, out)
		}
	}
	if !strings.Contains(out, "certificate.failed") || !strings.Contains(out, "127.0.0.9") {
		t.Errorf("the failure is no event:\n%s", out)
	}

	// They are on disk: a new server has them at once.
	if err := s.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	again, err := s.certificateOf("shop.example.com")
	if err != nil || again.SerialNumber.Cmp(cert.SerialNumber) != 0 {
		t.Errorf("after a restart: %v, %v", again, err)
	}
}

func TestCertificatesOfOnesOwn(t *testing.T) {
	t.Parallel()
	s, a := hosted(t)
	certFile, keyFile := filepath.Join(s.dir, "wild.pem"), filepath.Join(s.dir, "wild.key")
	selfSigned(t, certFile, keyFile, time.Now().Add(48*time.Hour), "*.wild.example.com", "wild.example.com")
	add := func(args ...string) (string, error) {
		return s.run(s.dir, "hop3", append([]string{"cert", "add", "--app", "shop"}, args...)...)
	}
	if out, err := add(certFile, keyFile); err == nil || !strings.Contains(out, "that is none of the hosts of 'shop'") {
		t.Errorf("a certificate for another host: %v\n%s", err, out)
	}
	if out, err := s.run(s.dir, "hop3", "domain", "add", "--app", "shop", "*.wild.example.com", "www.shop.example.com"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := s.certificateOf("a.wild.example.com"); err == nil {
		t.Error("a wildcard has a certificate without the DNS challenge")
	}
	if out, err := add(certFile, a.rootFile); err == nil || !strings.Contains(out, "not a certificate and its private key") {
		t.Errorf("a certificate without its key: %v\n%s", err, out)
	}
	if out, err := add(certFile, keyFile); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cert, err := s.certificateOf("a.wild.example.com")
	if err != nil || cert.Subject.Organization[0] != "Test" {
		t.Fatalf("the certificate: %v, %v", cert, err)
	}
	// One's own comes before one by ACME that is in use already.
	if _, err := s.certificateOf("www.shop.example.com"); err != nil {
		t.Fatal(err)
	}
	selfSigned(t, certFile, keyFile, time.Now().Add(48*time.Hour), "www.shop.example.com")
	if out, err := add(certFile, keyFile); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if cert, err := s.certificateOf("www.shop.example.com"); err != nil || cert.Subject.Organization == nil || cert.Subject.Organization[0] != "Test" {
		t.Errorf("the certificate: %v, %v", cert, err)
	}
	out, err := s.run(s.dir, "hop3", "app", "status", "--app", "shop")
	if err != nil || !strings.Contains(out, "only `hop3 cert add` replaces it") {
		t.Errorf("app status says nothing of a certificate that ends in two days: %v\n%s", err, out)
	}
	if out, err := s.run(s.dir, "hop3", "cert", "remove", "--app", "shop", "www.shop.example.com"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if cert, err := s.certificateOf("www.shop.example.com"); err != nil || !strings.HasPrefix(cert.Issuer.CommonName, "Pebble") {
		t.Errorf("the certificate: %v, %v", cert, err)
	}
}

// Names that nobody has cost nothing: no order, nothing on disk.
func TestRandomNamesGetNoCertificate(t *testing.T) {
	t.Parallel()
	s, _ := hosted(t)
	count := func() (n int) {
		_ = filepath.WalkDir(filepath.Join(s.home, "caddy"), func(string, os.DirEntry, error) error { n++; return nil })
		return n
	}
	before := count()
	const names, clients = 10_000, 16
	var next, answered atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	done := make(chan struct{})
	for range clients {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := next.Add(1); n <= names && ctx.Err() == nil; n = next.Add(1) {
				if _, err := s.certificateOf(fmt.Sprintf("n%d.random%d.example.com", n, n%97)); err == nil {
					answered.Add(1)
				}
			}
		}()
	}
	for range clients {
		<-done
	}
	if ctx.Err() != nil || answered.Load() != 0 || count() != before {
		t.Errorf("%d of %d names got a certificate, %d files became %d, %v", answered.Load(), names, before, count(), ctx.Err())
	}
}
