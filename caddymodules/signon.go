package caddymodules

import (
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/oidc"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// signOn is the OpenID provider of the configuration, nil for none. The browser
// comes back to an address that only the configuration says: not a request.
func signOn(c serverconfig.OIDC, control string) (platform.SingleSignOn, error) {
	if c.Issuer == "" {
		return nil, nil
	}
	secret, err := c.Secret()
	if err != nil {
		return nil, err
	}
	return oidc.New(oidc.Options{
		Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: secret, Scopes: c.Scopes,
		RedirectURL: control + "/auth/oidc/callback", UsernameClaim: c.UsernameClaim, GroupsClaim: c.GroupsClaim,
	})
}

func signOnRules(c serverconfig.OIDC) hop3.SignOnRules {
	return hop3.SignOnRules{Label: c.Label, Create: c.CreateUsers, Domains: c.AllowedDomains, Groups: c.GroupRoles}
}
