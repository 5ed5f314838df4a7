package certs

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// responder answers what its authority says of one certificate.
type responder struct {
	*httptest.Server
	asked    atomic.Int64
	status   atomic.Int64
	validity atomic.Int64 // nanoseconds
}

func newResponder(t *testing.T, ca *issued) *responder {
	t.Helper()
	r := &responder{}
	r.validity.Store(int64(time.Hour))
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		question, err := ocsp.ParseRequest(body)
		if err != nil {
			t.Error(err)
			return
		}
		now := time.Now()
		answer, err := ocsp.CreateResponse(ca.cert, ca.cert, ocsp.Response{
			Status: int(r.status.Load()), SerialNumber: question.SerialNumber, RevokedAt: now,
			ThisUpdate: now, NextUpdate: now.Add(time.Duration(r.validity.Load())),
		}, ca.key)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(answer)
	}))
	t.Cleanup(r.Close)
	return r
}

// handshake returns what a client sees of the keeper's certificate for a host.
func (k *Keeper) handshake(t *testing.T, host string) tls.ConnectionState {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	go func() {
		_ = tls.Server(ours, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return k.GetCertificate(t.Context(), hello)
		}}).HandshakeContext(t.Context())
	}()
	client := tls.Client(theirs, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func TestAnswersOfTheAuthorityAreShown(t *testing.T) {
	t.Parallel()
	dir, storage, hosts := t.TempDir(), t.TempDir(), []string{"www.shop.org"}
	root := issue(t, nil, nil)
	ca := issue(t, root, func(c *x509.Certificate) { c.IsCA = true }, "ca")
	r := newResponder(t, ca)
	leaf := issue(t, ca, func(c *x509.Certificate) { c.OCSPServer = []string{r.URL} }, hosts...)
	start := func() *Keeper {
		k := ownKeeper(t, storage, &ownAuthority{root: root}, hosts...)
		k.custom.dir = dir
		return k
	}
	k := start()
	if _, err := k.AddCustom("blog", hosts, chainPEM(leaf, ca), leaf.keyPEM(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no staple is shown", func() bool { return len(k.handshake(t, hosts[0]).OCSPResponse) > 0 })
	answer, err := ocsp.ParseResponseForCert(k.handshake(t, hosts[0]).OCSPResponse, leaf.cert, ca.cert)
	if err != nil || answer.Status != ocsp.Good || r.asked.Load() != 1 {
		t.Fatalf("%+v, %v, after %d questions", answer, err, r.asked.Load())
	}
	k.Close()

	// It is in the storage: a new server does not ask. It would be revoked by now.
	r.status.Store(ocsp.Revoked)
	again := start()
	again.askAbout("blog")
	eventually(t, "no staple is shown after a restart", func() bool { return len(again.handshake(t, hosts[0]).OCSPResponse) > 0 })
	if n := r.asked.Load(); n != 1 {
		t.Errorf("the responder was asked %d times", n)
	}
	if c := again.Certificate(t.Context(), hosts[0]); c.Error != "" {
		t.Errorf("it is %q", c.Error)
	}
	again.Close()

	// Where it is asked, the revocation is told, and nothing is stapled.
	storage = t.TempDir()
	last := start()
	last.askAbout("blog")
	eventually(t, "the revocation is not told", func() bool { return last.Certificate(t.Context(), hosts[0]).Error != "" })
	if c := last.Certificate(t.Context(), hosts[0]); !strings.Contains(c.Error, "revoked the certificate on") || !strings.Contains(c.Error, "hop3 cert add") || !c.NextTry.IsZero() {
		t.Errorf("%+v", c)
	}
	if len(last.handshake(t, hosts[0]).OCSPResponse) != 0 {
		t.Error("a revocation is stapled")
	}
}

// An answer is replaced at half of its life, and one by somebody else, or none,
// is not shown.
func TestAnswersAreKeptUpToDate(t *testing.T) {
	t.Parallel()
	hosts := []string{"www.shop.org"}
	root := issue(t, nil, nil)
	ca := issue(t, root, func(c *x509.Certificate) { c.IsCA = true }, "ca")
	r := newResponder(t, ca)
	r.validity.Store(int64(2 * time.Second)) // it counts in seconds
	leaf := issue(t, ca, func(c *x509.Certificate) { c.OCSPServer = []string{r.URL} }, hosts...)
	k := ownKeeper(t, t.TempDir(), &ownAuthority{root: root}, hosts...)
	if _, err := k.AddCustom("blog", hosts, chainPEM(leaf, ca), leaf.keyPEM(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is asked once only", func() bool { k.askAbout("blog"); return r.asked.Load() > 1 })

	foreign := newResponder(t, root)
	leaf = issue(t, ca, func(c *x509.Certificate) { c.OCSPServer = []string{foreign.URL} }, hosts...)
	if _, err := k.AddCustom("blog", hosts, chainPEM(leaf, ca), leaf.keyPEM(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is not asked", func() bool { return foreign.asked.Load() > 0 })
	k.Close()
	if state := k.handshake(t, hosts[0]); len(state.OCSPResponse) != 0 || !state.PeerCertificates[0].Equal(leaf.cert) {
		t.Error("the answer of another authority is shown")
	}
}
