package front

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// exported are the certificates on the disk, in <home>/front/certificates: the
// program in front reads them there. Its methods are safe for concurrent use.
type exported struct {
	dir    string
	source Certificates
	logger *zap.Logger

	mu    sync.Mutex
	known map[string]Certificate // by host
	busy  map[string]bool        // hosts being asked for
	told  map[string]string      // by host: the trouble that was logged last
}

func newExported(dir string, source Certificates, logger *zap.Logger) *exported {
	return &exported{
		dir: dir, source: source, logger: logger,
		known: map[string]Certificate{}, busy: map[string]bool{}, told: map[string]string{},
	}
}

// load finds what is on the disk already, of an earlier server.
func (e *exported) load(hosts []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, host := range hosts {
		if _, known := e.known[host]; known {
			continue
		}
		c := e.place(host)
		data, err := os.ReadFile(c.File)
		if err != nil {
			continue // there is none yet
		}
		if leaf, err := parseLeaf(data); err != nil || time.Now().After(leaf.NotAfter) {
			continue
		}
		c.Fingerprint = fingerprint(data)
		e.known[host] = c
	}
}

// of returns the certificates there are for hosts.
func (e *exported) of(hosts []string) []Certificate {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []Certificate
	for _, host := range hosts {
		if c, ok := e.known[host]; ok {
			all = append(all, c)
		}
	}
	return all
}

// refresh asks for the certificates of hosts, gets those that are missing or
// due, and reports whether any changed. It returns when all are there, or have
// failed, or ctx is done; those under way are gone on with by a later call.
func (e *exported) refresh(ctx context.Context, hosts []string) (changed bool) {
	var all sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, 8)
	for _, host := range hosts {
		if !e.begin(host) {
			continue
		}
		all.Go(func() {
			defer e.end(host)
			slots <- struct{}{}
			defer func() { <-slots }()
			new, err := e.export(ctx, host)
			e.tell(host, err)
			mu.Lock()
			defer mu.Unlock()
			changed = changed || new
		})
	}
	all.Wait()
	return changed
}

func (e *exported) begin(host string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy[host] {
		return false
	}
	e.busy[host] = true
	return true
}

func (e *exported) end(host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.busy, host)
}

// export writes the certificate of a host where it is another one than before.
func (e *exported) export(ctx context.Context, host string) (changed bool, err error) {
	chain, key, err := e.source.Certificate(ctx, host)
	if err != nil {
		return false, err
	}
	// A program that is given a damaged certificate serves nobody.
	leaf, err := parseLeaf(chain)
	if err == nil {
		err = leaf.VerifyHostname(strings.Replace(host, "*", "any", 1))
	}
	if err != nil {
		return false, fmt.Errorf("the certificate for %s: %w", host, err)
	}
	text := slices.Concat(bytes.TrimSpace(chain), []byte("\n"), bytes.TrimSpace(key), []byte("\n"))
	c := e.place(host)
	c.Fingerprint = fingerprint(text)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known[host] == c {
		return false, nil
	}
	if err := WriteFile(c.File, text); err != nil {
		return false, err
	}
	e.known[host] = c
	return true, nil
}

// tell logs a trouble once, not at each attempt.
func (e *exported) tell(host string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	e.mu.Lock()
	known := e.told[host] == text
	e.told[host] = text
	e.mu.Unlock()
	if err != nil && !known && hop3.CodeOf(err) != hop3.CodeNotFound { // a wildcard may have none
		e.logger.Warn("no certificate", zap.String("host", host), zap.Error(err))
	}
}

// forget removes the files of hosts that are no app's any more.
func (e *exported) forget(keep map[string]bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for host, c := range e.known {
		if keep[host] || e.busy[host] {
			continue
		}
		delete(e.known, host)
		delete(e.told, host)
		errs = append(errs, os.Remove(c.File))
	}
	return errors.Join(errs...)
}

// place is where the certificate of a host lies. A host, once validated, has
// nothing in it that means something in a path.
func (e *exported) place(host string) Certificate {
	name := strings.Replace(host, "*", "_", 1)
	return Certificate{Host: host, File: filepath.Join(e.dir, name+".pem")}
}

func parseLeaf(chain []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(chain)
	if block == nil {
		return nil, errors.New("it is no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func fingerprint(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// splitLocal tells hosts apart: those our own authority vouches for at once, and
// those for which one on the network takes its time.
func splitLocal(hosts []string) (local, public []string) {
	for _, h := range hosts {
		if hop3.LocalHost(h) {
			local = append(local, h)
		} else {
			public = append(public, h)
		}
	}
	return local, public
}
