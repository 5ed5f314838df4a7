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
	server, inURL, err := p.loginServer(server)
	if err != nil {
		return err
	}
	if token = firstOf(token, inURL); token == "" {
		if token, err = p.askToken(ctx, server, username, file); err != nil {
			return err
		}
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

// loginServer returns the server to log in to, without a token that is in its
// address, and that token.
func (p *program) loginServer(given string) (server, token string, err error) {
	if given == "" {
		server, err = p.server()
		return server, "", err
	}
	if !strings.Contains(given, "://") {
		given = "https://" + given
	}
	u, err := url.Parse(given)
	if err != nil || u.Host == "" {
		return "", "", exitf(api.ExitUsage, "%q is not the address of a server", given)
	}
	token = u.Query().Get("token")
	u.RawQuery, u.Fragment = "", ""
	return strings.TrimRight(u.String(), "/"), token, nil
}

// askToken gets a token for a username and a password.
func (p *program) askToken(ctx context.Context, server, username, file string) (string, error) {
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
	c, err := p.dial(server, "")
	if err != nil {
		return "", err
	}
	res, err := c.Call(ctx, []string{"auth", "get-token", "--", username, password}, api.Extra{}, nil)
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
