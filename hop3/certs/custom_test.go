package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate by parent, or by itself without one. change may
// alter what is in it.
func issue(t *testing.T, parent *issued, change func(*x509.Certificate), names ...string) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Test " + strings.Join(names, " ")}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: len(names) == 0, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if change != nil {
		change(template)
	}
	by, signer := template, crypto.Signer(key)
	if parent != nil {
		by, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

func (i *issued) keyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func chainPEM(chain ...*issued) (out []byte) {
	for _, i := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})...)
	}
	return out
}

// newKeeper returns a keeper to whom "blog" has the hosts.
func newKeeper(t *testing.T, dir string, hosts ...string) *Keeper {
	t.Helper()
	k := New(Options{Dir: dir, Hosts: func() []string { return hosts }, AppOf: func(host string) (string, bool) {
		if slices.Contains(hosts, host) {
			return "blog", true
		}
		if _, parent, ok := strings.Cut(host, "."); ok && slices.Contains(hosts, "*."+parent) {
			return "blog", false
		}
		return "", false
	}})
	t.Cleanup(k.Close)
	return k
}

func (k *Keeper) shown(t *testing.T, host string) *tls.Certificate {
	t.Helper()
	cert, err := k.GetCertificate(t.Context(), &tls.ClientHelloInfo{ServerName: host})
	if err != nil {
		t.Fatalf("the certificate for %s: %v", host, err)
	}
	return cert
}

func TestCustomCertificates(t *testing.T) {
	dir := t.TempDir()
	hosts := []string{"www.example.org", "*.wild.example.org"}
	k := newKeeper(t, dir, hosts...)
	root := issue(t, nil, nil)
	middle := issue(t, root, func(c *x509.Certificate) { c.IsCA = true }, "middle")
	leaf := issue(t, middle, nil, "www.example.org", "*.wild.example.org")
	got, err := k.AddCustom("blog", hosts, chainPEM(leaf, middle), leaf.keyPEM(t))
	if err != nil || got.Kind != hop3.CertificateCustom || !slices.Equal(got.Names, leaf.cert.DNSNames) {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, host := range []string{"www.example.org", "a.wild.example.org"} {
		if cert := k.shown(t, host); !cert.Leaf.Equal(leaf.cert) || len(cert.Certificate) != 2 {
			t.Errorf("%s shows %v, with %d certificates", host, cert.Leaf.Subject, len(cert.Certificate))
		}
	}
	// The key is nobody else's to read.
	files, err := filepath.Glob(filepath.Join(dir, "blog", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Another keeper, as after a restart, has it too; for a proxy, leaf first.
	again := newKeeper(t, dir, hosts...)
	if cert := again.shown(t, "www.example.org"); !cert.Leaf.Equal(leaf.cert) {
		t.Errorf("after a restart: %v", cert.Leaf.Subject)
	}
	chain, key, err := again.PEM(t.Context(), "www.example.org")
	if err != nil {
		t.Fatal(err)
	}
	if pair, err := tls.X509KeyPair(chain, key); err != nil || !pair.Leaf.Equal(leaf.cert) || strings.Contains(string(chain), "PRIVATE") {
		t.Errorf("%v\n%s", err, chain)
	}
	// Its successor takes its place; without either there is none.
	next := issue(t, middle, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(30 * time.Minute) }, leaf.cert.DNSNames...)
	if _, err := k.AddCustom("blog", hosts, chainPEM(next, middle), next.keyPEM(t)); err != nil {
		t.Fatal(err)
	}
	if cert := k.shown(t, "www.example.org"); !cert.Leaf.Equal(next.cert) {
		t.Errorf("after a replacement: %v", cert.Leaf.Subject)
	}
	if err := k.RemoveCustom("blog", "*.wild.example.org"); err != nil {
		t.Fatal(err)
	}
	if err := k.RemoveCustom("blog", "www.example.org"); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := k.GetCertificate(t.Context(), &tls.ClientHelloInfo{ServerName: "www.example.org"}); err == nil {
		t.Error("it is still shown")
	}
}

func TestWhatIsNoCertificateOfOnesOwn(t *testing.T) {
	hosts := []string{"www.example.org"}
	root := issue(t, nil, nil)
	good, other := issue(t, root, nil, "www.example.org"), issue(t, root, nil, "www.example.org")
	old := issue(t, root, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "www.example.org")
	elsewhere := issue(t, root, nil, "evil\x1b[2J.example.net")
	huge := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: make([]byte, 1<<20)})
	for name, c := range map[string]struct {
		chain, key []byte
		want       string
	}{
		"nothing":            {nil, nil, "not a certificate"},
		"text":               {[]byte("hello"), []byte("hello"), "not a certificate"},
		"a cut certificate":  {chainPEM(good)[:200], good.keyPEM(t), "not a certificate"},
		"zeroes":             {huge, good.keyPEM(t), "not a certificate"},
		"another's key":      {chainPEM(good), other.keyPEM(t), "private key"},
		"the root first":     {chainPEM(root, good), good.keyPEM(t), "private key"},
		"no key":             {chainPEM(good), chainPEM(good), "not a certificate"},
		"expired":            {chainPEM(old), old.keyPEM(t), "has expired"},
		"for another host":   {chainPEM(elsewhere), elsewhere.keyPEM(t), "none of the hosts"},
		"an authority's own": {chainPEM(root), root.keyPEM(t), "none of the hosts"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			k := newKeeper(t, dir, hosts...)
			_, err := k.AddCustom("blog", hosts, c.chain, c.key)
			if hop3.CodeOf(err) != hop3.CodeInvalid || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("the error is %q", err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) != 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
}

// A file that is none, put there by hand, keeps nobody from the others.
func TestBrokenFilesAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	hosts := []string{"www.example.org"}
	good := issue(t, issue(t, nil, nil), nil, hosts...)
	if _, err := newKeeper(t, dir, hosts...).AddCustom("blog", hosts, chainPEM(good), good.keyPEM(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "blog", "a.pem"), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKeeper(t, dir, hosts...)
	if cert := k.shown(t, "www.example.org"); !cert.Leaf.Equal(good.cert) {
		t.Errorf("shown is %v", cert.Leaf.Subject)
	}
}

// An app whose disk does not answer keeps no other app waiting, and its files
// are read once for all who wait for them.
func TestSlowDisksHoldNobodyElse(t *testing.T) {
	c := &custom{dir: t.TempDir()}
	release, began := make(chan struct{}), make(chan struct{})
	reads := 0
	c.apps = map[string]func() []*tls.Certificate{"slow": sync.OnceValue(func() []*tls.Certificate {
		reads++
		close(began)
		<-release
		return nil
	})}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { c.find("slow", "www.example.org", time.Now()) })
	}
	<-began
	if cert := c.find("fast", "www.example.org", time.Now()); cert != nil {
		t.Error("there is a certificate")
	}
	c.forget("fast")
	close(release)
	all.Wait()
	if reads != 1 {
		t.Errorf("the files were read %d times", reads)
	}
}
