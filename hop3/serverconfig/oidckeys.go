package serverconfig

import (
	"io"
	"os"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// OIDC is how people log in at an OpenID provider. Issuer is "" for not at all.
type OIDC struct {
	Issuer           string
	ClientID         string
	ClientSecret     string
	ClientSecretFile string
	Scopes           []string
	UsernameClaim    string
	GroupsClaim      string
	AllowedDomains   []string
	GroupRoles       []hop3.GroupRole
	CreateUsers      bool
	Label            string
}

// oidcKeys are the settings of single sign-on.
func oidcKeys() []key {
	return []key{
		{name: "OIDC_ISSUER",
			set: to(func(c *Config) *string { return &c.OIDC.Issuer }, anyText),
			doc: "the https:// address of the OpenID provider where people log in; empty for passwords only"},
		{name: "OIDC_CLIENT_ID",
			set: to(func(c *Config) *string { return &c.OIDC.ClientID }, anyText),
			doc: "what the provider calls this server"},
		{name: "OIDC_CLIENT_SECRET", show: hidden,
			set: to(func(c *Config) *string { return &c.OIDC.ClientSecret }, anyText),
			doc: "its secret there; empty for a public client"},
		{name: "OIDC_CLIENT_SECRET_FILE",
			set: to(func(c *Config) *string { return &c.OIDC.ClientSecretFile }, optional(absolutePath)),
			doc: "a file with that secret instead, which only its owner and group may read"},
		{name: "OIDC_SCOPES", list: true, fallback: "openid,profile,email",
			set: to(func(c *Config) *[]string { return &c.OIDC.Scopes }, oidcScopes),
			doc: "what the provider is asked for, separated by commas; many want groups here, for groups"},
		{name: "OIDC_USERNAME_CLAIM", fallback: "preferred_username",
			set: to(func(c *Config) *string { return &c.OIDC.UsernameClaim }, anyText),
			doc: "where the provider says what new users are called"},
		{name: "OIDC_GROUPS_CLAIM", fallback: "groups",
			set: to(func(c *Config) *string { return &c.OIDC.GroupsClaim }, anyText),
			doc: "where it says which groups somebody is in"},
		{name: "OIDC_ALLOWED_DOMAINS", list: true,
			set: to(func(c *Config) *[]string { return &c.OIDC.AllowedDomains }, commas),
			doc: "domains of verified e-mail addresses that may log in, separated by commas; * for all whom the provider knows"},
		{name: "OIDC_GROUP_ROLES", list: true,
			set: to(func(c *Config) *[]hop3.GroupRole { return &c.OIDC.GroupRoles }, hop3.ParseGroupRoles),
			doc: "what groups of the provider may do here, as staff=web:deployer for a team, or ops=admin for every app, separated by commas; nobody else may log in then"},
		{name: "OIDC_CREATE_USERS", fallback: "false",
			set: to(func(c *Config) *bool { return &c.OIDC.CreateUsers }, boolean),
			doc: "make an account for who logs in for the first time; asks for OIDC_ALLOWED_DOMAINS or OIDC_GROUP_ROLES"},
		{name: "OIDC_LABEL", fallback: "Single sign-on",
			set: to(func(c *Config) *string { return &c.OIDC.Label }, anyText),
			doc: "what the button says"},
	}
}

func commas(text string) ([]string, error) {
	var all []string
	for _, word := range strings.Split(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all, nil
}

// oidcScopes has openid among them: without it, a provider proves nobody.
func oidcScopes(text string) ([]string, error) {
	all, err := commas(text)
	for _, s := range all {
		if s == "openid" {
			return all, err
		}
	}
	return append([]string{"openid"}, all...), err
}

// checkOIDC reports settings of single sign-on that do not go together.
func (c *Config) checkOIDC() error {
	o := c.OIDC
	switch {
	case o.Issuer == "":
		return nil
	case o.ClientID == "":
		return hop3.Errorf(hop3.CodeInvalid, "OIDC_ISSUER is set, and OIDC_CLIENT_ID is not").
			WithHint("The provider gives it, where this server is registered there.")
	case o.ClientSecret != "" && o.ClientSecretFile != "":
		return hop3.Errorf(hop3.CodeInvalid, "OIDC_CLIENT_SECRET and OIDC_CLIENT_SECRET_FILE are both set")
	case o.CreateUsers && len(o.AllowedDomains) == 0 && len(o.GroupRoles) == 0:
		return hop3.Errorf(hop3.CodeInvalid, "OIDC_CREATE_USERS would let everybody in whom %s knows", o.Issuer).
			WithHint("Say who in OIDC_ALLOWED_DOMAINS or OIDC_GROUP_ROLES; OIDC_ALLOWED_DOMAINS=* means all of them.")
	}
	return nil
}

// Secret returns the client's secret, from its file when that is set.
func (o OIDC) Secret() (string, error) {
	if o.ClientSecretFile == "" {
		return o.ClientSecret, nil
	}
	f, err := os.Open(o.ClientSecretFile)
	if err != nil {
		return "", hop3.Errorf(hop3.CodeInvalid, "OIDC_CLIENT_SECRET_FILE: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", hop3.Errorf(hop3.CodeInvalid, "OIDC_CLIENT_SECRET_FILE: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", hop3.Errorf(hop3.CodeInvalid, "OIDC_CLIENT_SECRET_FILE: everybody may read %s", o.ClientSecretFile).
			WithHint("chmod 600 %s", o.ClientSecretFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", hop3.Errorf(hop3.CodeInvalid, "OIDC_CLIENT_SECRET_FILE: %w", err)
	}
	if secret := strings.TrimSpace(string(text)); secret != "" {
		return secret, nil
	}
	return "", hop3.Errorf(hop3.CodeInvalid, "OIDC_CLIENT_SECRET_FILE: %s is empty", o.ClientSecretFile)
}
