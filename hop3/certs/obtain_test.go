package certs

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// ownAuthority issues certificates at once, or refuses to.
type ownAuthority struct {
	root    *issued
	issues  atomic.Int64
	refuses atomic.Bool
}

func (a *ownAuthority) IssuerKey() string { return "own" }

func (a *ownAuthority) Issue(_ context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	a.issues.Add(1)
	if a.refuses.Load() {
		return nil, certmagic.ErrNoRetry{Err: errors.New("not today")}
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: serial, DNSNames: csr.DNSNames, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root.cert, csr.PublicKey, a.root.key)
	if err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: chainPEM(&issued{cert: &x509.Certificate{Raw: der}})}, nil
}

func ownKeeper(t *testing.T, storage string, a *ownAuthority, hosts ...string) *Keeper {
	t.Helper()
	k := newKeeper(t, t.TempDir(), hosts...)
	files := &certmagic.FileStorage{Path: storage}
	k.Use(Authorities{Storage: files, Public: []certmagic.Issuer{a}, Local: []certmagic.Issuer{a}})
	return k
}

func TestCertificatesOutliveTheKeeper(t *testing.T) {
	t.Parallel()
	storage, a := t.TempDir(), &ownAuthority{root: issue(t, nil, nil)}
	k := ownKeeper(t, storage, a, "www.shop.org")
	if err := k.Obtain(t.Context(), "www.shop.org", false); err != nil {
		t.Fatal(err)
	}
	before := k.shown(t, "www.shop.org")
	k.Close()
	again := ownKeeper(t, storage, a, "www.shop.org")
	again.Want(t.Context(), "www.shop.org")
	if cert := again.shown(t, "www.shop.org"); !cert.Leaf.Equal(before.Leaf) || a.issues.Load() != 1 {
		t.Errorf("after a restart it is another one, of %d", a.issues.Load())
	}
	// By force there is another one; a host that nobody has gets none.
	if err := again.Obtain(t.Context(), "www.shop.org", true); err != nil {
		t.Fatal(err)
	}
	if cert := again.shown(t, "www.shop.org"); cert.Leaf.Equal(before.Leaf) {
		t.Error("it was not renewed")
	}
	if err := again.Obtain(t.Context(), "nobody.org", false); hop3.CodeOf(err) != hop3.CodeNotFound || a.issues.Load() != 2 {
		t.Errorf("for nobody's host: %v; %d were issued", err, a.issues.Load())
	}
	if cert, err := again.GetCertificate(t.Context(), &tls.ClientHelloInfo{ServerName: "nobody.org"}); cert != nil || err != nil {
		t.Errorf("for nobody's host: %v, %v", cert, err)
	}
}

func TestManyWaitForOneAttempt(t *testing.T) {
	t.Parallel()
	a := &ownAuthority{root: issue(t, nil, nil)}
	k := ownKeeper(t, t.TempDir(), a, "www.shop.org")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := k.GetCertificate(t.Context(), &tls.ClientHelloInfo{ServerName: "www.shop.org"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := a.issues.Load(); n != 1 {
		t.Errorf("%d were asked for", n)
	}
}

func TestFailuresAreNotRepeatedBeforeTheirTime(t *testing.T) {
	t.Parallel()
	a := &ownAuthority{root: issue(t, nil, nil)}
	a.refuses.Store(true)
	k := ownKeeper(t, t.TempDir(), a, "www.shop.org", "*.wild.org")
	hello := &tls.ClientHelloInfo{ServerName: "www.shop.org"}
	if _, err := k.GetCertificate(t.Context(), hello); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Fatalf("the first visitor: %v", err)
	}
	asked := a.issues.Load()
	for range 10 {
		if _, err := k.GetCertificate(t.Context(), hello); err == nil || !strings.Contains(err.Error(), "next attempt at") {
			t.Fatalf("a later visitor: %v", err)
		}
	}
	k.Want(t.Context(), "www.shop.org")
	if a.issues.Load() != asked {
		t.Errorf("visitors had %d more asked for", a.issues.Load()-asked)
	}
	for n := range 8 {
		c := k.Certificate(t.Context(), "www.shop.org")
		want := pauses[min(n, len(pauses)-1)]
		if c.NextTry.Sub(c.FailedAt) != want || !strings.Contains(c.Error, "not today") {
			t.Errorf("after %d failures: %s, not %s, until the next: %s", n+1, c.NextTry.Sub(c.FailedAt), want, c.Error)
		}
		k.note("www.shop.org", explain("www.shop.org", errors.New("not today")))
	}
	// A person is not made to wait, and a success ends it.
	a.refuses.Store(false)
	if err := k.Obtain(t.Context(), "www.shop.org", false); err != nil {
		t.Fatal(err)
	}
	if c := k.Certificate(t.Context(), "www.shop.org"); c.Error != "" || c.Kind != hop3.CertificateACME {
		t.Errorf("%+v", c)
	}
	// What there can be none for says so without asking.
	asked = a.issues.Load()
	if err := k.Obtain(t.Context(), "*.wild.org", false); hop3.CodeOf(err) != hop3.CodeInvalid || a.issues.Load() != asked {
		t.Errorf("for a wildcard: %v", err)
	}
	if c := k.Certificate(t.Context(), "*.wild.org"); c.Error == "" || !c.NextTry.IsZero() {
		t.Errorf("of a wildcard: %+v", c)
	}
}

func TestWhenACertificateIsDue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	leaf := &x509.Certificate{NotBefore: now, NotAfter: now.Add(90 * 24 * time.Hour)}
	if due := dueAt(leaf); !due.Equal(now.Add(60 * 24 * time.Hour)) {
		t.Errorf("one of 90 days is due after %s", due.Sub(now))
	}
}

// pebble runs a real authority that vouches for so many seconds, and returns
// an issuer that asks it.
func pebble(t *testing.T, validity int) *certmagic.ACMEIssuer {
	t.Helper()
	for _, program := range []string{"pebble", "pebble-challtestsrv"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip("pebble is not installed; tests/run installs it")
		}
	}
	var ports [6]int
	var held []net.Listener
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	for _, l := range held {
		l.Close()
	}
	local := func(i int) string { return "127.0.0.1:" + strconv.Itoa(ports[i]) }
	dir := t.TempDir()
	own := issue(t, nil, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }, "localhost")
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": local(0), "managementListenAddress": local(1), "certificate": filepath.Join(dir, "cert"), "privateKey": filepath.Join(dir, "key"),
		"httpPort": ports[2], "tlsPort": ports[3], "certificateValidityPeriod": validity,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"cert": chainPEM(own), "key": own.keyPEM(t), "config": config} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, argv := range [][]string{
		{"pebble-challtestsrv", "-dns01", local(4), "-management", local(5), "-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""},
		{"pebble", "-config", filepath.Join(dir, "config"), "-dnsserver", local(4)},
	} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	for _, i := range []int{0, 5} {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			c, err := net.Dial("tcp", local(i))
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(own.cert)
	return &certmagic.ACMEIssuer{
		CA: fmt.Sprintf("https://%s/dir", local(0)), Agreed: true, TrustedRoots: roots, Logger: zap.NewNop(),
		DisableTLSALPNChallenge: true, AltHTTPPort: ports[2], ListenHost: "127.0.0.1",
	}
}

// A certificate is renewed by itself, without anybody asking, and the next
// handshake has the new one.
func TestCertificatesAreRenewedInTime(t *testing.T) {
	t.Parallel()
	template := pebble(t, 9)
	k := New(Options{
		Dir: t.TempDir(), Every: 200 * time.Millisecond, Hosts: func() []string { return []string{"www.shop.org"} },
		AppOf: func(host string) (string, bool) { return "shop", host == "www.shop.org" },
	})
	t.Cleanup(k.Close)
	changed := make(chan string, 16)
	k.OnChange(func(host string) { changed <- host })
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	issuer := certmagic.NewACMEIssuer(certmagic.New(k.cache, certmagic.Config{Storage: storage, Logger: zap.NewNop()}), *template)
	k.Use(Authorities{Storage: storage, Public: []certmagic.Issuer{issuer}, Local: []certmagic.Issuer{issuer}})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.Run(ctx)
	}()
	defer func() { stop(); <-done }()

	var last *x509.Certificate
	for n := range 2 {
		select {
		case <-changed:
		case <-time.After(time.Minute):
			c := k.Certificate(ctx, "www.shop.org")
			t.Fatalf("there is no certificate number %d: %s", n+1, c.Error)
		}
		cert := k.cached("www.shop.org")
		if cert == nil || last != nil && cert.Leaf.Equal(last) {
			t.Fatalf("the certificate number %d is %v", n+1, cert)
		}
		last = cert.Leaf
	}
}
