package caddymodules

import (
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/mholt/acmez/v3/acme"
)

// anyConnection is a TLS policy for whatever name a client asks for.
func anyConnection() caddytls.ConnectionPolicies {
	return caddytls.ConnectionPolicies{{}}
}

// baseTLS leaves the certificates to our keeper. What that does not answer for,
// a client that names no host, gets one of our own authority, if it asked for
// an address of the server.
func baseTLS(o BaseOptions) (*caddytls.TLS, error) {
	public, err := publicIssuers(o)
	if err != nil {
		return nil, err
	}
	keeper := &Certificates{PublicRaw: public, Wildcards: o.ACME.DNSProvider != "", SharedRaw: sharedStorage(o.ACME.Storage)}
	return &caddytls.TLS{
		Automation: &caddytls.AutomationConfig{
			OnDemand: &caddytls.OnDemandConfig{
				PermissionRaw: caddyconfig.JSONModuleObject(&Permission{Hosts: o.ControlHosts}, "module", "hop3", nil),
			},
			Policies: []*caddytls.AutomationPolicy{{
				OnDemand:    true,
				ManagersRaw: []json.RawMessage{caddyconfig.JSONModuleObject(keeper, "via", "hop3", nil)},
				IssuersRaw:  []json.RawMessage{json.RawMessage(internalIssuer)},
			}},
		},
	}, nil
}

const internalIssuer = `{"module": "internal"}`

// ACMEOptions are how certificates for public names are asked for.
type ACMEOptions struct {
	SelfSigned bool   // by our own authority, not by ACME
	Directory  string // URL of another authority than Let's Encrypt
	Email      string
	RootCA     string // file of the authority's own certificate, when that is not public
	KeyID      string // external account binding (RFC 8555, section 7.3.4)
	MACKey     string
	// DNSProvider is the module that answers DNS challenges; "" for none.
	DNSProvider string
	DNSSettings string // JSON object for it
	Resolvers   []string
	// Storage is the directory, or the storage module as a JSON object, that
	// several servers share; "" for none.
	Storage string
}

// sharedStorage is the configuration of a storage module.
func sharedStorage(where string) json.RawMessage {
	switch {
	case where == "":
		return nil
	case strings.HasPrefix(where, "{"):
		return json.RawMessage(where)
	}
	return caddyconfig.JSON(map[string]string{"module": "file_system", "root": where}, nil)
}

// publicIssuers are the authorities for public names.
func publicIssuers(o BaseOptions) ([]json.RawMessage, error) {
	if o.ACME.SelfSigned {
		return []json.RawMessage{json.RawMessage(internalIssuer)}, nil
	}
	issuer, err := acmeIssuer(o)
	return []json.RawMessage{issuer}, err
}

// acmeIssuer names our ports: Caddy fills them in only where it decides about
// HTTPS itself.
func acmeIssuer(o BaseOptions) (json.RawMessage, error) {
	issuer := &caddytls.ACMEIssuer{
		CA:    o.ACME.Directory,
		Email: o.ACME.Email,
		Challenges: &caddytls.ChallengesConfig{
			HTTP: &caddytls.HTTPChallengeConfig{AlternatePort: o.HTTPPort, Disabled: o.HTTPPort == 0},
			// Of servers with one storage, any may be asked, and only HTTP can be
			// answered for another one.
			TLSALPN: &caddytls.TLSALPNChallengeConfig{AlternatePort: o.HTTPSPort, Disabled: o.Fronted || o.ACME.Storage != ""},
		},
	}
	if o.ACME.RootCA != "" {
		issuer.TrustedRootsPEMFiles = []string{o.ACME.RootCA}
	}
	if o.ACME.KeyID != "" {
		issuer.ExternalAccount = &acme.EAB{KeyID: o.ACME.KeyID, MACKey: o.ACME.MACKey}
	}
	if o.ACME.DNSProvider != "" {
		provider, err := dnsProvider(o.ACME.DNSProvider, o.ACME.DNSSettings)
		if err != nil {
			return nil, err
		}
		issuer.Challenges.DNS = &caddytls.DNSChallengeConfig{ProviderRaw: provider, Resolvers: o.ACME.Resolvers}
	}
	return caddyconfig.JSONModuleObject(issuer, "module", "acme", nil), nil
}
