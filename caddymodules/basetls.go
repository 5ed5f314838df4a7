package caddymodules

import (
	"encoding/json"

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
	keeper := &Certificates{PublicRaw: public, Wildcards: o.ACME.DNSProvider != ""}
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
			HTTP:    &caddytls.HTTPChallengeConfig{AlternatePort: o.HTTPPort, Disabled: o.HTTPPort == 0},
			TLSALPN: &caddytls.TLSALPNChallengeConfig{AlternatePort: o.HTTPSPort, Disabled: o.Fronted},
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
		issuer.Challenges.DNS = &caddytls.DNSChallengeConfig{ProviderRaw: provider}
	}
	return caddyconfig.JSONModuleObject(issuer, "module", "acme", nil), nil
}
