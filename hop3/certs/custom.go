package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// custom are the certificates that users bring: <dir>/<app>/<name>.pem, the
// private key and the chain in one file, so that it is replaced at once.
type custom struct {
	dir string

	mu   sync.RWMutex
	apps map[string]func() []*tls.Certificate // reads an app's files when it is first called
}

// find returns the certificate that is good for host longest, nil when there
// is none that is valid.
func (c *custom) find(app, host string, now time.Time) *tls.Certificate {
	var best *tls.Certificate
	for _, cert := range c.of(app) {
		if cert.Leaf.VerifyHostname(host) != nil || now.After(cert.Leaf.NotAfter) {
			continue
		}
		if best == nil || cert.Leaf.NotAfter.After(best.Leaf.NotAfter) {
			best = cert
		}
	}
	return best
}

func (c *custom) of(app string) []*tls.Certificate {
	c.mu.RLock()
	certs := c.apps[app]
	c.mu.RUnlock()
	if certs == nil {
		certs = c.add(app)
	}
	return certs() // without the lock: others' handshakes do not wait for this disk
}

func (c *custom) add(app string) func() []*tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.apps == nil {
		c.apps = map[string]func() []*tls.Certificate{}
	}
	if c.apps[app] == nil {
		c.apps[app] = sync.OnceValue(func() []*tls.Certificate { return c.load(app) })
	}
	return c.apps[app]
}

// load reads the certificates of an app. A file that is none is left out: it
// would be the admin's own doing.
func (c *custom) load(app string) (certs []*tls.Certificate) {
	files, _ := filepath.Glob(filepath.Join(c.dir, app, "*.pem"))
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			if cert, err := tls.X509KeyPair(text, text); err == nil {
				certs = append(certs, &cert)
			}
		}
	}
	return certs
}

func (c *custom) forget(app string) {
	c.mu.Lock()
	delete(c.apps, app)
	c.mu.Unlock()
}

// AddCustom has an app use a certificate that its user brings, for those of its
// hosts that it is good for; hosts are all it has. It returns a CodeInvalid
// error for what is no certificate with its key, has expired, or is good for
// none of the hosts.
func (k *Keeper) AddCustom(app string, hosts []string, chain, key []byte) (hop3.Certificate, error) {
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return hop3.Certificate{}, hop3.Errorf(hop3.CodeInvalid, "not a certificate and its private key: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	leaf := cert.Leaf
	if time.Now().After(leaf.NotAfter) {
		return hop3.Certificate{}, hop3.Errorf(hop3.CodeInvalid, "the certificate has expired on %s", leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	covered := slices.ContainsFunc(hosts, func(h string) bool { return leaf.VerifyHostname(example(h)) == nil })
	if !covered {
		return hop3.Certificate{}, hop3.Errorf(hop3.CodeInvalid, "the certificate is for %s: that is none of the hosts of '%s'", printable(strings.Join(leaf.DNSNames, ", ")), app).
			WithHint("Add the host first: hop3 domain add --app %s %s", app, printable(strings.Join(leaf.DNSNames, " ")))
	}
	text, err := bundle(cert)
	if err != nil {
		return hop3.Certificate{}, err
	}
	dir := filepath.Join(k.custom.dir, app)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return hop3.Certificate{}, fmt.Errorf("keeping the certificate: %w", err)
	}
	if err := replaceFile(filepath.Join(dir, fileName(leaf)), text); err != nil {
		return hop3.Certificate{}, fmt.Errorf("keeping the certificate: %w", err)
	}
	k.custom.forget(app)
	k.tell("")
	k.askAbout(app)
	return described("", hop3.CertificateCustom, leaf), nil
}

// RemoveCustom takes away the app's own certificates that are good for host; it
// returns a CodeNotFound error when there are none.
func (k *Keeper) RemoveCustom(app, host string) error {
	removed := false
	for _, cert := range k.custom.of(app) {
		if cert.Leaf.VerifyHostname(example(host)) != nil {
			continue
		}
		if err := os.Remove(filepath.Join(k.custom.dir, app, fileName(cert.Leaf))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the certificate: %w", err)
		}
		removed = true
	}
	k.custom.forget(app)
	k.tell("")
	if !removed {
		return hop3.Errorf(hop3.CodeNotFound, "App '%s' has no certificate of its own for %s.", app, host)
	}
	return nil
}

// ForgetApp removes all certificates of an app that users brought.
func (k *Keeper) ForgetApp(app string) error {
	k.custom.forget(app)
	return os.RemoveAll(filepath.Join(k.custom.dir, app))
}

// example returns a host that a pattern stands for.
func example(host string) string {
	if parent, ok := strings.CutPrefix(host, "*."); ok {
		return "any." + parent
	}
	return host
}

// fileName is the file of a certificate: by its first name, so that its
// successor takes its place.
func fileName(leaf *x509.Certificate) string {
	name := leaf.Subject.CommonName
	if len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, name)
	return "cert-" + safe[:min(len(safe), 200)] + ".pem"
}

// bundle returns the private key and the chain in one text.
func bundle(cert tls.Certificate) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the private key cannot be used: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for _, der := range cert.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text, nil
}

// replaceFile writes a file that only we can read, at once or not at all.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
