package caddymodules

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"

	"github.com/abilian/hop3/hop3"
)

// handshakes gets certificates as a client would, by a handshake, from the
// configuration that Caddy runs by: so they are the same, are got and renewed
// by the same rules, and only for names that may have one. It is safe for
// concurrent use.
type handshakes struct {
	config atomic.Pointer[tls.Config] // nil while there is none
}

// use has it work by the configuration of ctx.
func (h *handshakes) use(ctx caddy.Context) error {
	if app, err := ctx.AppIfConfigured("tls"); err != nil || app == nil {
		return nil // HTTPS is closed
	}
	policies := anyConnection()
	if err := policies.Provision(ctx); err != nil {
		return fmt.Errorf("preparing TLS: %w", err)
	}
	h.config.Store(policies.TLSConfig(ctx))
	return nil
}

// Certificate returns the certificate of a host and its key, in PEM.
func (h *handshakes) Certificate(ctx context.Context, host string) (chain, key []byte, err error) {
	config := h.config.Load()
	if config == nil {
		return nil, nil, hop3.Errorf(hop3.CodeUnavailable, "there is no TLS on this server")
	}
	made, err := shake(ctx, config, host)
	if err != nil {
		return nil, nil, err
	}
	for _, der := range made.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("the key of the certificate for %s: %w", host, err)
	}
	return chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// shake makes a handshake with ourselves, in memory, and returns the
// certificate that a client was shown.
func shake(ctx context.Context, config *tls.Config, host string) (*tls.Certificate, error) {
	var shown *tls.Certificate
	server := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen, err := config.GetConfigForClient(hello)
		if err != nil {
			return nil, err
		}
		chosen = chosen.Clone()
		get := chosen.GetCertificate
		chosen.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			made, err := get(hello)
			shown = made
			return made, err
		}
		return chosen, nil
	}}
	ours, theirs := net.Pipe()
	defer func() { _ = errors.Join(ours.Close(), theirs.Close()) }() // in memory
	done := make(chan error, 1)
	go func() { done <- tls.Server(ours, server).HandshakeContext(ctx) }()
	// It is the certificate that is looked at, not whom it convinces.
	err := tls.Client(theirs, &tls.Config{ServerName: host, InsecureSkipVerify: true}).HandshakeContext(ctx)
	if serverErr := <-done; serverErr != nil {
		return nil, serverErr // the client is only told that it failed
	}
	return shown, err
}
