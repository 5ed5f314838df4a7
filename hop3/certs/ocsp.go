package certs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/ocsp"

	"github.com/abilian/hop3/hop3"
)

// staples are what authorities say of the certificates that users bring (RFC
// 6960), to be shown with them. For those by ACME certmagic does this itself.
type staples struct {
	mu sync.RWMutex
	of map[fingerprint]*staple
}

type fingerprint [sha256.Size]byte

// staple is the last word on one certificate.
type staple struct {
	stapled *tls.Certificate // with the answer in it; nil when there is none to show
	until   time.Time        // not shown after that
	revoked time.Time        // zero when it is not
	next    time.Time        // not asked again before then
	asking  bool
}

// stapled returns the certificate with what its authority says of it, or as it
// is when that is nothing, or out of date.
func (k *Keeper) stapled(cert *tls.Certificate) *tls.Certificate {
	if len(cert.Leaf.OCSPServer) == 0 {
		return cert
	}
	k.staples.mu.RLock()
	defer k.staples.mu.RUnlock()
	if s := k.staples.of[sha256.Sum256(cert.Leaf.Raw)]; s != nil && s.stapled != nil && time.Now().Before(s.until) {
		return s.stapled
	}
	return cert
}

// revoked returns the error of a certificate that its authority has taken back,
// nil for any other.
func (k *Keeper) revoked(leaf *x509.Certificate) error {
	k.staples.mu.RLock()
	defer k.staples.mu.RUnlock()
	if s := k.staples.of[sha256.Sum256(leaf.Raw)]; s != nil && !s.revoked.IsZero() {
		return hop3.Errorf(hop3.CodeUnavailable, "%s revoked the certificate on %s: browsers refuse it", issuerOf(leaf), s.revoked.UTC().Format(time.DateOnly)).
			WithHint("Give another one with `hop3 cert add`, or have one made with `hop3 cert remove`.")
	}
	return nil
}

// askAbout begins to ask the authorities of an app's own certificates what they
// say of them, where it is time to. It does not wait.
func (k *Keeper) askAbout(app string) {
	now := time.Now()
	for _, cert := range k.custom.of(app) {
		if len(cert.Leaf.OCSPServer) == 0 || len(cert.Certificate) < 2 || now.After(cert.Leaf.NotAfter) {
			continue
		}
		if s := k.staples.begin(cert, now); s != nil && k.ctx.Err() == nil {
			k.tasks.Go(func() { k.askAuthority(s, cert) })
		}
	}
}

// begin returns the staple of a certificate if it is time to ask about it.
func (x *staples) begin(cert *tls.Certificate, now time.Time) *staple {
	x.mu.Lock()
	defer x.mu.Unlock()
	id := fingerprint(sha256.Sum256(cert.Leaf.Raw))
	if x.of == nil {
		x.of = map[fingerprint]*staple{}
	}
	s := x.of[id]
	if s == nil {
		s = &staple{}
		x.of[id] = s
	}
	if s.asking || now.Before(s.next) {
		return nil
	}
	s.asking = true
	return s
}

// askAgain is when an authority is asked again that did not answer.
const askAgain = 10 * time.Minute

func (k *Keeper) askAuthority(s *staple, cert *tls.Certificate) {
	response, raw, err := k.statusOf(cert)
	if err == nil && response.Status == ocsp.Unknown {
		err = errors.New("the authority does not know the certificate")
	}
	k.staples.mu.Lock()
	defer k.tell("") // who copies certificates, copies this one again
	defer k.staples.mu.Unlock()
	s.asking = false
	if err != nil {
		s.next = time.Now().Add(askAgain)
		k.options.Logger.Warn("no OCSP status", zap.String("certificate", printable(cert.Leaf.Subject.CommonName)), zap.Error(err))
		return
	}
	s.stapled, s.revoked, s.until, s.next = nil, time.Time{}, response.NextUpdate, halfTime(response)
	if response.Status == ocsp.Revoked {
		s.revoked = response.RevokedAt
		k.options.Logger.Error("a certificate is revoked", zap.String("certificate", printable(cert.Leaf.Subject.CommonName)), zap.Time("at", s.revoked))
		return
	}
	stapled := *cert
	stapled.OCSPStaple = raw
	s.stapled = &stapled
}

// halfTime is when an answer is to be replaced: after half of its life.
func halfTime(r *ocsp.Response) time.Time {
	return r.ThisUpdate.Add(r.NextUpdate.Sub(r.ThisUpdate) / 2)
}

// statusOf returns what the authority says of a certificate: what is in the
// storage while that is new enough, else its answer, which is stored.
func (k *Keeper) statusOf(cert *tls.Certificate) (*ocsp.Response, []byte, error) {
	issuer, err := x509.ParseCertificate(cert.Certificate[1])
	if err != nil {
		return nil, nil, fmt.Errorf("reading the issuer's certificate: %w", err)
	}
	ctx, cancel := context.WithTimeout(k.ctx, 30*time.Second)
	defer cancel()
	cfg, err := k.config("localhost")
	if err != nil {
		return nil, nil, err
	}
	id := sha256.Sum256(cert.Leaf.Raw)
	key := path.Join("ocsp", "custom-"+hex.EncodeToString(id[:16]))
	if raw, err := cfg.Storage.Load(ctx, key); err == nil {
		if r, err := ocsp.ParseResponseForCert(raw, cert.Leaf, issuer); err == nil && time.Now().Before(halfTime(r)) {
			return r, raw, nil
		}
	}
	raw, err := askResponder(ctx, cert.Leaf, issuer)
	if err != nil {
		return nil, nil, err
	}
	r, err := ocsp.ParseResponseForCert(raw, cert.Leaf, issuer)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("reading the answer of %s: %w", cert.Leaf.OCSPServer[0], err)
	case time.Now().After(r.NextUpdate): // also one that never says so
		return nil, nil, fmt.Errorf("the answer of %s is out of date", cert.Leaf.OCSPServer[0])
	}
	if err := cfg.Storage.Store(ctx, key, raw); err != nil {
		k.options.Logger.Warn("keeping an OCSP status", zap.Error(err)) // it is in memory
	}
	return r, raw, nil
}

// responders is what asks: the address is a user's, so that nothing of the
// answer but a signed status goes anywhere, and no redirect is followed.
var responders = &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func askResponder(ctx context.Context, leaf, issuer *x509.Certificate) ([]byte, error) {
	question, err := ocsp.CreateRequest(leaf, issuer, &ocsp.RequestOptions{Hash: crypto.SHA1}) // what all understand (RFC 5019)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, leaf.OCSPServer[0], bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	resp, err := responders.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", leaf.OCSPServer[0], strings.ToValidUTF8(resp.Status, ""))
	}
	return io.ReadAll(io.LimitReader(resp.Body, 64<<10))
}
