package certs

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/abilian/hop3/hop3"
)

// Import has a host use a certificate of a public authority that another server
// got for it, and renews it when it is time. One that is no better than what
// there is, or is for another name, is left.
func (k *Keeper) Import(ctx context.Context, host string, chain, key []byte) error {
	host = hop3.NormalizeHost(host)
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return hop3.Errorf(hop3.CodeInvalid, "not a certificate and its private key: %w", err)
	}
	_, subject := k.subject(host)
	if subject == "" || hop3.LocalHost(host) || !slices.Contains(cert.Leaf.DNSNames, subject) || time.Now().After(cert.Leaf.NotAfter) {
		return nil
	}
	if have, _, err := k.stored(ctx, subject); err == nil {
		if leaf, err := parseLeaf(have); err == nil && !cert.Leaf.NotAfter.After(leaf.NotAfter) {
			return nil
		}
	}
	cfg, err := k.config(subject)
	if err != nil {
		return err
	}
	if len(cfg.Issuers) == 0 {
		return hop3.Errorf(hop3.CodeUnavailable, "no authority renews the certificate of %s here", host)
	}
	// What certmagic keeps of a certificate; what its authority said is not known.
	about, err := json.Marshal(certmagic.CertificateResource{SANs: cert.Leaf.DNSNames})
	if err != nil {
		return err
	}
	issuer := cfg.Issuers[0].IssuerKey()
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{certmagic.StorageKeys.SitePrivateKey(issuer, subject), key},
		{certmagic.StorageKeys.SiteCert(issuer, subject), chain},
		{certmagic.StorageKeys.SiteMeta(issuer, subject), about},
	} {
		if err := cfg.Storage.Store(ctx, file.name, file.content); err != nil {
			return fmt.Errorf("keeping the certificate of %s: %w", host, err)
		}
	}
	k.reload(ctx, subject)
	return nil
}
