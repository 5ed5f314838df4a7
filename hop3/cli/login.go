package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

var jwtPattern = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`)

// login gets a token for a server, makes sure that it is good, and remembers
// both.
func login(ctx context.Context, p *program, args []string) error {
	token, args, err := option(args, "--token")
	if err != nil {
		return err
	}
	username, args, err := option(args, "--username", "-u")
	if err != nil {
		return err
	}
	file, args, err := option(args, "--password-file")
	if err != nil {
		return err
	}
	code, args, err := option(args, "--code")
	if err != nil {
		return err
	}
	bySSH, args, err := option(args, "--ssh")
	if err != nil {
		return err
	}
	byWeb, args := toggle(args, "--web")
	server, args, err := option(args, "--url")
	if err != nil {
		return err
	}
	if fromStdin, rest := toggle(args, "--password-stdin", "--stdin"); fromStdin {
		file, args = "-", rest
	}
	if len(args) > 0 && server == "" {
		server, args = args[0], args[1:]
	}
	if err := noMore(args); err != nil {
		return err
	}
	if bySSH != "" && server == "" {
		server = hostOf(bySSH)
	}
	server, inURL, err := p.loginServer(server)
	if err != nil {
		return err
	}
	switch token = firstOf(token, inURL.Get("token")); {
	case token != "":
	case byWeb:
		token, err = p.tokenByWeb(ctx, server)
	case bySSH != "":
		token, err = p.tokenBySSH(ctx, bySSH)
	case inURL.Get("magic") != "":
		token, err = p.askWithCode(ctx, server, code, "auth", "redeem", "--", inURL.Get("magic"))
	default:
		token, err = p.askToken(ctx, server, username, file, code)
	}
	if err != nil {
		return err
	}
	who, err := p.whoami(ctx, server, token)
	if err != nil {
		return err
	}
	if err := p.remember(server, token); err != nil {
		return err
	}
	p.printer.item(api.Success("Logged in to %s as %s", server, who), nil)
	if shadow := p.getenv("HOP3_API_TOKEN"); shadow != "" && shadow != token {
		p.printer.item(api.Warning("HOP3_API_TOKEN is set and goes before the token of this login."), nil)
	}
	return nil
}

// loginServer returns the server to log in to, and what its address says beside
// that: a token, or a magic link.
func (p *program) loginServer(given string) (server string, query url.Values, err error) {
	if given == "" {
		server, err = p.server()
		return server, nil, err
	}
	if !strings.Contains(given, "://") {
		given = "https://" + given
	}
	u, err := url.Parse(given)
	if err != nil || u.Host == "" {
		return "", nil, exitf(api.ExitUsage, "%q is not the address of a server", given)
	}
	query = u.Query()
	u.RawQuery, u.Fragment = "", ""
	return strings.TrimRight(u.String(), "/"), query, nil
}

// askToken gets a token for a username and a password, and asks for a code when
// the server wants one.
func (p *program) askToken(ctx context.Context, server, username, file, code string) (string, error) {
	if username == "" {
		if !isTerminal(p.In) || p.flags.noInput {
			return "", exitf(api.ExitUsage, "Say who logs in: --username NAME, or --token TOKEN.")
		}
		answer, err := p.askLine(ctx, "Username: ")
		if err != nil {
			return "", err
		}
		username = answer
	}
	password, err := p.password(ctx, file)
	if err != nil {
		return "", err
	}
	return p.askWithCode(ctx, server, code, "auth", "get-token", "--", username, password)
}

// askWithCode is askServer of a command that takes a code of a second factor
// last. When the server wants one and there is none, it asks the user.
func (p *program) askWithCode(ctx context.Context, server, code string, words ...string) (string, error) {
	if code != "" {
		words = append(words, code)
	}
	token, err := p.askServer(ctx, server, words...)
	if err == nil || code != "" || !p.mayAskCode(err) {
		return token, err
	}
	if code, err = p.askLine(ctx, "Code: "); err != nil {
		return "", err
	}
	return p.askServer(ctx, server, append(words, code)...)
}

// askServer returns the token that a command answers with.
func (p *program) askServer(ctx context.Context, server string, words ...string) (string, error) {
	c, err := p.dial(server, "")
	if err != nil {
		return "", err
	}
	res, err := c.Call(ctx, words, api.Extra{}, nil)
	if err != nil {
		return "", err
	}
	for _, item := range res.Items {
		if token := jwtPattern.FindString(item.Text); token != "" && item.T == api.KindText {
			return token, nil
		}
		if item.T == api.KindError {
			return "", exitf(api.ExitAuth, "%s", item.Text)
		}
	}
	return "", exitf(api.ExitAuth, "The server gave no token.")
}

// whoami returns the name of the user that a token is good for.
func (p *program) whoami(ctx context.Context, server, token string) (string, error) {
	c, err := p.dial(server, token)
	if err != nil {
		return "", err
	}
	res, err := c.Call(ctx, []string{"auth", "whoami"}, api.Extra{}, nil)
	if err != nil {
		return "", err
	}
	for _, item := range res.Items {
		if name, ok := strings.CutPrefix(item.Text, "Username: "); ok {
			return name, nil
		}
	}
	return "an unknown user", nil
}

// remember keeps the token and makes the server the default one.
func (p *program) remember(server, token string) error {
	put(p.settings.credentials, token, "servers", serverKey(server), "token")
	if err := p.settings.save(credentialsFile, p.settings.credentials); err != nil {
		return fmt.Errorf("keeping the token: %w", err)
	}
	put(p.settings.config, server, "cli", "default_server")
	return p.settings.save(configFile, p.settings.config)
}

// logout revokes the token and forgets it, even when the server says no.
func logout(ctx context.Context, p *program, args []string) error {
	if err := noMore(args); err != nil {
		return err
	}
	server, err := p.server()
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	res, callErr := c.Call(ctx, []string{"auth", "logout"}, api.Extra{}, nil)
	servers, _ := p.settings.credentials["servers"].(map[string]any)
	delete(servers, serverKey(server))
	if err := p.settings.save(credentialsFile, p.settings.credentials); err != nil {
		return err
	}
	if refused := new(client.Error); errors.As(callErr, &refused) && refused.Code == 401 {
		p.printer.item(api.Text("The token was not valid any more; it is forgotten."), nil)
		return nil
	}
	if callErr != nil {
		return exitf(api.ExitGeneral, "The token is forgotten here, but not revoked: %v", callErr)
	}
	return p.show(res)
}
