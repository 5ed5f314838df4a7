package caddymodules

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"

	"github.com/abilian/hop3/hop3/certs"
)

// Certificates has Caddy's TLS use the certificates of our keeper, which lives
// longer than a configuration of Caddy. The authorities are of the
// configuration.
type Certificates struct {
	// PublicRaw are the issuers for public names, the first one first. Let's
	// Encrypt when there is none.
	PublicRaw []json.RawMessage `json:"public,omitempty" caddy:"namespace=tls.issuance inline_key=module"`
	// LocalRaw are those for names that no public authority can vouch for.
	LocalRaw []json.RawMessage `json:"local,omitempty" caddy:"namespace=tls.issuance inline_key=module"`
	// SharedRaw is where certificates for public names are kept when other
	// servers have them too; Caddy's storage when there is none.
	SharedRaw json.RawMessage `json:"shared,omitempty" caddy:"namespace=caddy.storage inline_key=module"`
	// Wildcards says that the public ones have a DNS challenge.
	Wildcards bool `json:"wildcards,omitempty"`

	keeper *certs.Keeper
	gate   *gate
}

// CaddyModule returns the Caddy module information.
func (*Certificates) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.get_certificate.hop3", New: func() caddy.Module { return new(Certificates) }}
}

// keeperSource is what Certificates needs of the hop3 app.
type keeperSource interface {
	Keeper() *certs.Keeper
}

// Provision loads the issuers and gives them to the keeper.
func (c *Certificates) Provision(ctx caddy.Context) (err error) {
	app, err := ctx.App("hop3")
	if err != nil {
		return fmt.Errorf("getting the hop3 app: %w", err)
	}
	source, ok := app.(keeperSource)
	if !ok {
		return fmt.Errorf("the hop3 app is a %T, which keeps no certificates", app)
	}
	if c.gate, err = gateOf(ctx); err != nil {
		return err
	}
	if c.PublicRaw == nil {
		c.PublicRaw = []json.RawMessage{json.RawMessage(`{"module":"acme"}`)}
	}
	if c.LocalRaw == nil {
		c.LocalRaw = []json.RawMessage{json.RawMessage(`{"module":"internal"}`)}
	}
	public, err := issuers(ctx, c, "PublicRaw")
	if err != nil {
		return err
	}
	local, err := issuers(ctx, c, "LocalRaw")
	if err != nil {
		return err
	}
	c.keeper = source.Keeper()
	shared, err := c.shared(ctx)
	if err != nil {
		return err
	}
	c.keeper.Use(certs.Authorities{Storage: ctx.Storage(), Shared: shared, Public: public, Local: local, Wildcards: c.Wildcards})
	return nil
}

func (c *Certificates) shared(ctx caddy.Context) (certmagic.Storage, error) {
	if c.SharedRaw == nil {
		return nil, nil
	}
	loaded, err := ctx.LoadModule(c, "SharedRaw")
	if err != nil {
		return nil, fmt.Errorf("loading the storage of the certificates: %w", err)
	}
	converter, ok := loaded.(caddy.StorageConverter)
	if !ok {
		return nil, fmt.Errorf("the module %T in caddy.storage is no storage", loaded)
	}
	return converter.CertMagicStorage()
}

func issuers(ctx caddy.Context, c *Certificates, field string) ([]certmagic.Issuer, error) {
	loaded, err := ctx.LoadModule(c, field)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate issuers: %w", err)
	}
	var out []certmagic.Issuer
	for _, m := range loaded.([]any) {
		issuer, ok := m.(certmagic.Issuer)
		if !ok {
			return nil, fmt.Errorf("the module %T in tls.issuance is not an issuer", m)
		}
		out = append(out, issuer)
	}
	return out, nil
}

// GetCertificate returns the certificate for a handshake: certmagic.Manager.
func (c *Certificates) GetCertificate(ctx context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.gate.await(ctx) // the table of a server that starts is empty
	return c.keeper.GetCertificate(ctx, hello)
}

// UnmarshalCaddyfile reads `get_certificate hop3`, which takes nothing.
func (*Certificates) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// dnsProviders are the names of the DNS providers that this server was built
// with.
func dnsProviders() []string {
	var names []string
	for _, m := range caddy.GetModules("dns.providers") {
		names = append(names, m.ID.Name())
	}
	slices.Sort(names)
	return names
}

// dnsProvider is the configuration of a DNS provider module: settings is a JSON
// object.
func dnsProvider(name, settings string) (json.RawMessage, error) {
	if !slices.Contains(dnsProviders(), name) {
		has := "none: build the server with xcaddy, and one of github.com/caddy-dns"
		if names := dnsProviders(); len(names) > 0 {
			has = strings.Join(names, ", ")
		}
		return nil, fmt.Errorf("ACME_DNS_PROVIDER is %q, which this server does not have; it has %s", name, has)
	}
	object := map[string]json.RawMessage{}
	if settings != "" {
		if err := json.Unmarshal([]byte(settings), &object); err != nil {
			return nil, errors.New("ACME_DNS_CONFIG is not a JSON object, as {\"api_token\": \"…\"}") // not the text: it is a secret
		}
	}
	object["name"], _ = json.Marshal(name) // a string
	return json.Marshal(object)
}
