package caddymodules

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/abilian/hop3/hop3"
)

// anyConnection is a TLS policy for whatever name a client asks for.
func anyConnection() caddytls.ConnectionPolicies {
	return caddytls.ConnectionPolicies{{}}
}

// baseTLS gets certificates at the first handshake for a name that
// tls.permission.hop3 allows: from our own authority for names that no public
// one can vouch for, from an ACME authority for all others.
func baseTLS(o BaseOptions) *caddytls.TLS {
	permission := caddyconfig.JSONModuleObject(&Permission{Hosts: o.ControlHosts}, "module", "hop3", nil)
	return &caddytls.TLS{
		Automation: &caddytls.AutomationConfig{
			OnDemand: &caddytls.OnDemandConfig{PermissionRaw: permission},
			Policies: []*caddytls.AutomationPolicy{
				{SubjectsRaw: localSubjects(o.ControlHosts), IssuersRaw: []json.RawMessage{json.RawMessage(`{"module": "internal"}`)}, OnDemand: true},
				{IssuersRaw: []json.RawMessage{acmeIssuer(o)}, OnDemand: true},
			},
		},
	}
}

// localDepth is how many labels a name may have before a local top-level
// domain and still get a certificate.
const localDepth = 5

// localSubjects are patterns for hop3.LocalHost, as certmagic understands
// them: each * stands for one label.
func localSubjects(controlHosts []string) []string {
	subjects := []string{"*", "127.0.0.1", "::1"}
	for _, tld := range []string{"localhost", "local", "test", "example", "invalid", "internal", "home.arpa"} {
		for n := 1; n <= localDepth; n++ {
			subjects = append(subjects, strings.Repeat("*.", n)+tld)
		}
	}
	for _, host := range controlHosts {
		if host = hop3.NormalizeHost(host); hop3.LocalHost(host) && !slices.Contains(subjects, host) {
			subjects = append(subjects, host)
		}
	}
	return subjects
}

// acmeIssuer names our ports: Caddy fills them in only where it decides about
// HTTPS itself.
func acmeIssuer(o BaseOptions) json.RawMessage {
	issuer := &caddytls.ACMEIssuer{
		CA:    o.ACMEDirectory,
		Email: o.Email,
		Challenges: &caddytls.ChallengesConfig{
			HTTP:    &caddytls.HTTPChallengeConfig{AlternatePort: o.HTTPPort, Disabled: o.HTTPPort == 0},
			TLSALPN: &caddytls.TLSALPNChallengeConfig{AlternatePort: o.HTTPSPort},
		},
	}
	return caddyconfig.JSONModuleObject(issuer, "module", "acme", nil)
}
