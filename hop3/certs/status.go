package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Certificate tells what is known of a host's certificate. It asks nobody.
func (k *Keeper) Certificate(ctx context.Context, host string) hop3.Certificate {
	host = hop3.NormalizeHost(host)
	app, subject := k.subject(host)
	if cert := k.custom.find(app, example(host), time.Now()); cert != nil && app != "" {
		c := described(host, hop3.CertificateCustom, cert.Leaf)
		if err := k.revoked(cert.Leaf); err != nil {
			c.Error = hop3.MessageOf(err)
		}
		return c
	}
	out := hop3.Certificate{Host: host}
	if k.lacksDNS(host) {
		out.Error = hop3.MessageOf(needsDNS(host))
	}
	if subject == "" {
		return out
	}
	if chain, _, err := k.stored(ctx, subject); err == nil {
		if leaf, err := parseLeaf(chain); err == nil {
			kind := hop3.CertificateACME
			if hop3.LocalHost(host) {
				kind = hop3.CertificateInternal
			}
			out = described(host, kind, leaf)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.records[subject]; r != nil {
		out.Error, out.FailedAt, out.NextTry = hop3.MessageOf(r.err), r.at, r.next
	}
	return out
}

// PEM returns the chain and the private key of the certificate for a host, for
// a server that is not this process; an error when there is none.
func (k *Keeper) PEM(ctx context.Context, host string) (chain, key []byte, err error) {
	app, subject := k.subject(host)
	if app != "" {
		if cert := k.custom.find(app, example(host), time.Now()); cert != nil {
			text, err := bundle(*cert)
			if err != nil {
				return nil, nil, err
			}
			first, rest := pem.Decode(text)
			return rest, pem.EncodeToMemory(first), nil
		}
	}
	if subject == "" {
		return nil, nil, hop3.Errorf(hop3.CodeNotFound, "there is no certificate for %s", host)
	}
	return k.stored(ctx, subject)
}

// stored reads the newest certificate of a subject from the storage.
func (k *Keeper) stored(ctx context.Context, subject string) (chain, key []byte, err error) {
	cfg, err := k.config(subject)
	if err != nil {
		return nil, nil, err
	}
	var newest time.Time
	for _, issuer := range cfg.Issuers {
		name := issuer.IssuerKey()
		text, loadErr := cfg.Storage.Load(ctx, certmagic.StorageKeys.SiteCert(name, subject))
		if loadErr != nil {
			err = loadErr
			continue
		}
		leaf, parseErr := parseLeaf(text)
		if parseErr != nil || !leaf.NotAfter.After(newest) {
			continue
		}
		secret, loadErr := cfg.Storage.Load(ctx, certmagic.StorageKeys.SitePrivateKey(name, subject))
		if loadErr != nil {
			err = loadErr
			continue
		}
		newest, chain, key = leaf.NotAfter, text, secret
	}
	if chain == nil {
		return nil, nil, errors.Join(hop3.Errorf(hop3.CodeNotFound, "there is no certificate for %s", subject), err)
	}
	return chain, key, nil
}

func parseLeaf(chain []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(bytes.TrimSpace(chain))
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// printable takes what drives a terminal out of a name that whoever made the
// certificate chose.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
}

func issuerOf(leaf *x509.Certificate) string {
	name := leaf.Issuer.CommonName
	if name == "" && len(leaf.Issuer.Organization) > 0 {
		name = leaf.Issuer.Organization[0]
	}
	return printable(name)
}

func described(host, kind string, leaf *x509.Certificate) hop3.Certificate {
	var names []string
	for _, name := range leaf.DNSNames {
		names = append(names, printable(name))
	}
	return hop3.Certificate{
		Host: host, Kind: kind, Issuer: issuerOf(leaf), Names: names, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
	}
}

// Run gets, in the background, what Options.Hosts are missing, and renews what
// is about to expire, until ctx ends. What nobody has asked for since the start
// is renewed too: a certificate of a quiet app does not expire.
func (k *Keeper) Run(ctx context.Context) {
	timer := time.NewTicker(k.options.Every)
	defer timer.Stop()
	for {
		hosts := k.options.Hosts()
		k.Want(ctx, hosts...)
		for _, host := range hosts {
			if app, _ := k.options.AppOf(host); app != "" {
				k.askAbout(app)
			}
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// Want begins to get certificates for the hosts that have none, or one about
// to expire. It does not wait.
func (k *Keeper) Want(ctx context.Context, hosts ...string) {
	now := time.Now()
	for _, host := range hosts {
		if hop3.LocalHost(host) {
			continue // made in a millisecond, when it is asked for
		}
		app, subject := k.subject(host)
		if subject == "" || k.custom.find(app, example(host), now) != nil || !k.mayNeed(subject, now) {
			continue
		}
		renew := false
		if chain, _, err := k.stored(ctx, subject); err == nil {
			if leaf, err := parseLeaf(chain); err == nil {
				if renew = !now.Before(dueAt(leaf)); !renew {
					k.catchUp(ctx, subject, leaf)
					k.mu.Lock()
					k.good[subject] = dueAt(leaf)
					k.mu.Unlock()
					continue
				}
			}
		}
		if _, err := k.begin(subject, renew, false); err != nil {
			k.options.Logger.Debug("no certificate yet", zap.String("host", subject), zap.Error(err))
		}
	}
}

// catchUp has the next handshake use a certificate that another server has put
// into the storage.
func (k *Keeper) catchUp(ctx context.Context, subject string, stored *x509.Certificate) {
	if used := k.cached(subject); used != nil && used.Leaf.NotAfter.Before(stored.NotAfter) {
		k.reload(ctx, subject)
	}
}

// mayNeed reports whether the certificate of a subject is worth a look.
func (k *Keeper) mayNeed(subject string, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !now.Before(k.good[subject]) && k.attempts[subject] == nil
}

// dueAt is when a certificate is to be renewed: with a third of its life left.
func dueAt(leaf *x509.Certificate) time.Time {
	return leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
}
