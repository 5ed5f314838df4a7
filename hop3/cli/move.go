package cli

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// moveSecret is what `app receive` answers with.
var moveSecret = regexp.MustCompile(`hop3move_[A-Za-z0-9_-]+`)

// placeMoved takes the app out of `app move APP SERVER` and `app receive APP`,
// whose last arguments are not apps.
func (p *program) placeMoved(words []string) []string {
	others := map[string]int{"app move": 1, "app receive": 0}
	name, n := match(set("app move", "app receive"), words)
	if n == 0 || p.flags.app != "" {
		return words
	}
	if slices.Contains(words, "--cancel") || slices.Contains(words, "--take-back") {
		others["app move"] = 0
	}
	if len(words) > n && !strings.HasPrefix(words[n], "-") && positionals(words[n:]) > others[name] {
		p.flags.app = words[n]
		return slices.Delete(slices.Clone(words), n, n+1)
	}
	return words
}

// fillInMove replaces the context of `app move --app APP CONTEXT` by the address
// of its server, and asks that one to let the app come.
func (p *program) fillInMove(ctx context.Context, words []string) ([]string, error) {
	app, args, err := option(words[2:], "--app")
	if err != nil {
		return nil, err
	}
	hold, args, err := option(args, "--max-hold")
	if err != nil {
		return nil, err
	}
	file, args, err := option(args, "--secret-file")
	if err != nil {
		return nil, err
	}
	if slices.Contains(args, "--cancel") || slices.Contains(args, "--take-back") || len(args) != 1 || strings.HasPrefix(args[0], "-") {
		return words, nil // the server says what is wrong, if anything is
	}
	server := args[0]
	if !strings.Contains(server, "://") {
		if server, err = p.contextServer(server); err != nil {
			return nil, err
		}
	}
	if !strings.HasPrefix(server, "http") {
		return nil, exitf(api.ExitUsage, "%s is reached by ssh, which this server cannot do: give its https address, and with --secret-file what `hop3 app receive` says there.", server)
	}
	secret := ""
	if file != "" {
		secret, err = p.password(ctx, file)
	} else {
		secret, err = p.askToReceive(ctx, server, app)
	}
	if err != nil {
		return nil, err
	}
	out := []string{"app", "move", "--app", app, server, secret}
	if hold != "" {
		out = append(out, "--max-hold", hold)
	}
	return out, nil
}

// askToReceive has another server let an app come.
func (p *program) askToReceive(ctx context.Context, server, app string) (string, error) {
	token := get(p.settings.credentials, "servers", serverKey(server), "token")
	if token == "" {
		return "", exitf(api.ExitAuth, "You are not logged in to %s. Run 'hop3 login %s', or give with --secret-file what `hop3 app receive --app %s` says there.", server, server, app)
	}
	c, err := p.dial(server, token)
	if err != nil {
		return "", err
	}
	res, err := c.Call(ctx, []string{"app", "receive", "--app", app}, api.Extra{}, nil)
	if err != nil {
		return "", err
	}
	for _, item := range res.Items {
		if secret := moveSecret.FindString(item.Text); secret != "" && item.T == api.KindText {
			return secret, nil
		}
	}
	return "", exitf(api.ExitGeneral, "%s does not say how '%s' can come to it.", server, app)
}
