// Package oidc has people log in at an OpenID provider: OpenID Connect Core 1.0,
// the authorization code flow with PKCE (RFC 7636).
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/abilian/hop3/hop3"
)

const (
	// attemptLifetime is how long somebody may take to log in.
	attemptLifetime = 10 * time.Minute
	// rediscover is how long what a provider says of itself counts.
	rediscover = time.Hour
	// askAgain is how long one that did not say it is left alone.
	askAgain   = 3 * time.Second
	askTimeout = 15 * time.Second
	maxAnswer  = 1 << 20 // bytes of an answer of the provider's
	maxText    = 256     // bytes of what it says of somebody
	maxGroups  = 1000
)

// Options say which provider, and how it knows us. Issuer, ClientID and
// RedirectURL are required.
type Options struct {
	Issuer       string // https://, or http:// on this machine
	ClientID     string
	ClientSecret string // "" for a public client
	RedirectURL  string // where the browser comes back to
	Scopes       []string
	// UsernameClaim and GroupsClaim are where the provider says what somebody is
	// called, and in which groups they are.
	UsernameClaim string
	GroupsClaim   string
	// Transport reaches the provider; nil for a new one like net/http's own.
	Transport http.RoundTripper
}

// Provider is an OpenID provider. It is asked what it can do when somebody logs
// in, not before: a server starts without it. It is safe for concurrent use.
type Provider struct {
	options Options
	client  *http.Client

	mu       sync.Mutex
	found    *discovered
	failure  error // of the last question, at failedAt
	failedAt time.Time
}

// discovered is what a provider says of itself.
type discovered struct {
	*oidc.Provider
	at     time.Time
	config oauth2.Config
}

// New returns a provider. It asks nobody anything.
func New(o Options) (*Provider, error) {
	if err := CheckURL(o.Issuer); err != nil {
		return nil, err
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	return &Provider{options: o, client: &http.Client{
		Transport: short{o.Transport},
		Timeout:   askTimeout,
		// No provider needs to, and it must not send our secret elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// CheckURL reports a CodeInvalid error unless an address is one of https, or of
// http on this machine.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !local(u.Hostname())) {
		return hop3.Errorf(hop3.CodeInvalid, "%.200q is not the https:// address of an OpenID provider", text)
	}
	return nil
}

func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Issuer is the provider's name.
func (p *Provider) Issuer() string { return p.options.Issuer }

// Begin returns an attempt, and the address at the provider where it goes on. A
// provider that does not answer is a CodeUnavailable error.
func (p *Provider) Begin(ctx context.Context) (attempt hop3.SignOnAttempt, address string, err error) {
	d, err := p.discover(ctx)
	if err != nil {
		return attempt, "", err
	}
	attempt = hop3.SignOnAttempt{
		ID: rand.Text(), State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		Expires: time.Now().Add(attemptLifetime),
	}
	return attempt, d.config.AuthCodeURL(attempt.State, oidc.Nonce(attempt.Nonce), oauth2.S256ChallengeOption(attempt.Verifier)), nil
}

// Finish returns who has logged in at the provider. It is a CodeUnauthorized
// error when that is not certain; its text is for the server's log.
func (p *Provider) Finish(ctx context.Context, attempt hop3.SignOnAttempt, answer hop3.SignOnAnswer) (hop3.Identity, error) {
	switch {
	case attempt.State == "" || subtle.ConstantTimeCompare([]byte(attempt.State), []byte(answer.State)) != 1:
		return hop3.Identity{}, refused("the state is another one")
	case answer.Issuer != "" && answer.Issuer != p.options.Issuer:
		return hop3.Identity{}, refused("the answer is that of another issuer, %.200q", answer.Issuer)
	case answer.Error != "":
		return hop3.Identity{}, refused("the provider said %.200q", answer.Error)
	case answer.Code == "":
		return hop3.Identity{}, refused("there is no code")
	}
	d, err := p.discover(ctx)
	if err != nil {
		return hop3.Identity{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := d.config.Exchange(ctx, answer.Code, oauth2.VerifierOption(attempt.Verifier))
	if err != nil {
		return hop3.Identity{}, exchangeError(err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return hop3.Identity{}, refused("the provider gave no ID token")
	}
	said, err := d.Verifier(&oidc.Config{ClientID: p.options.ClientID}).Verify(ctx, raw)
	if err != nil {
		return hop3.Identity{}, refused("the ID token is not good: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(attempt.Nonce), []byte(said.Nonce)) != 1 || attempt.Nonce == "" {
		return hop3.Identity{}, refused("the ID token has another nonce")
	}
	var claims map[string]any
	if err := said.Claims(&claims); err != nil {
		return hop3.Identity{}, refused("the ID token cannot be read: %w", err)
	}
	if party, ok := claims["azp"]; ok && party != p.options.ClientID || !ok && len(said.Audience) > 1 {
		return hop3.Identity{}, refused("the ID token is for another program")
	}
	if said.Subject == "" || len(said.Subject) > maxText {
		return hop3.Identity{}, refused("the ID token has no subject that can be used")
	}
	if err := p.complete(ctx, d, token, said.Subject, claims); err != nil {
		return hop3.Identity{}, err
	}
	return p.identity(said, claims), nil
}

// complete adds to the claims what only the UserInfo endpoint says (Core 1.0,
// section 5.4), where anything that we look for is missing.
func (p *Provider) complete(ctx context.Context, d *discovered, token *oauth2.Token, subject string, claims map[string]any) error {
	wanted := []string{p.options.UsernameClaim, "email", p.options.GroupsClaim}
	missing := func(name string) bool { return name != "" && claims[name] == nil }
	if d.UserInfoEndpoint() == "" || !slices.ContainsFunc(wanted, missing) {
		return nil
	}
	info, err := d.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "asking the OpenID provider who this is: %w", err)
	}
	if info.Subject != subject {
		return refused("the provider says another subject")
	}
	var more map[string]any
	if err := info.Claims(&more); err != nil {
		return refused("what the provider says cannot be read: %w", err)
	}
	if claims["email"] == nil { // the two belong together
		claims["email"], claims["email_verified"] = more["email"], more["email_verified"]
	}
	for _, name := range wanted {
		if missing(name) {
			claims[name] = more[name]
		}
	}
	return nil
}

func (p *Provider) identity(said *oidc.IDToken, claims map[string]any) hop3.Identity {
	i := hop3.Identity{Issuer: said.Issuer, Subject: said.Subject, Username: text(claims[p.options.UsernameClaim])}
	// Some say it as a text.
	if verified := claims["email_verified"]; verified == true || verified == "true" {
		i.Email = text(claims["email"])
	}
	switch groups := claims[p.options.GroupsClaim].(type) {
	case string:
		i.Groups = []string{text(groups)}
	case []any:
		for _, g := range groups[:min(len(groups), maxGroups)] {
			if name := text(g); name != "" {
				i.Groups = append(i.Groups, name)
			}
		}
	}
	return i
}

// text returns a claim that is a text of usual length, else "".
func text(claim any) string {
	s, _ := claim.(string)
	if len(s) > maxText {
		return ""
	}
	return s
}

// discover asks the provider what it can do, now and then.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil && time.Since(p.found.at) < rediscover {
		return p.found, nil
	}
	// Who waited for an answer in vain does not wait for another one.
	if p.failure != nil && time.Since(p.failedAt) < askAgain {
		return nil, p.failure
	}
	found, err := p.ask(ctx)
	if err != nil {
		p.failure, p.failedAt = err, time.Now()
		return nil, err
	}
	p.found, p.failure = found, nil
	return found, nil
}

func (p *Provider) ask(ctx context.Context) (*discovered, error) {
	// The keys are asked for later, by whoever needs them first.
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.options.Issuer)
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "asking the OpenID provider %s what it can do: %w", p.options.Issuer, err)
	}
	var said struct {
		Keys    string   `json:"jwks_uri"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := provider.Claims(&said); err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "reading what the OpenID provider %s can do: %w", p.options.Issuer, err)
	}
	endpoint := provider.Endpoint()
	for _, address := range []string{endpoint.AuthURL, endpoint.TokenURL, said.Keys, provider.UserInfoEndpoint()} {
		if address == "" && address == provider.UserInfoEndpoint() {
			continue
		}
		if err := CheckURL(address); err != nil {
			return nil, hop3.Errorf(hop3.CodeUnavailable, "the OpenID provider %s: %w", p.options.Issuer, err)
		}
	}
	// Never by trying: a code is good for one try.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if p.options.ClientSecret == "" || len(said.Methods) > 0 && !slices.Contains(said.Methods, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &discovered{Provider: provider, at: time.Now(), config: oauth2.Config{
		ClientID: p.options.ClientID, ClientSecret: p.options.ClientSecret, Endpoint: endpoint,
		RedirectURL: p.options.RedirectURL, Scopes: p.options.Scopes,
	}}, nil
}

// exchangeError tells a provider that refuses a code from one that does not
// answer. What it answers with may have secrets in it: only the error's name
// is repeated.
func exchangeError(err error) error {
	if answered := new(oauth2.RetrieveError); errors.As(err, &answered) {
		return refused("the provider does not take the code: %.200q", answered.ErrorCode)
	}
	var network net.Error
	if errors.As(err, &network) {
		return hop3.Errorf(hop3.CodeUnavailable, "the OpenID provider does not answer: %w", err)
	}
	return refused("the provider's answer cannot be read: %w", err)
}

func refused(format string, args ...any) error {
	return hop3.Errorf(hop3.CodeUnauthorized, "%w", fmt.Errorf(format, args...))
}

// short bounds what a provider answers.
type short struct{ http.RoundTripper }

func (s short) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}
