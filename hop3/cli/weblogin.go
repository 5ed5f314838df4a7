package cli

import (
	"context"
	"net/url"
	"os/exec"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// tokenByWeb gets a token by a browser, anywhere, in which the user is logged in
// and types a code. It is let in or refused within minutes: the server ends it.
func (p *program) tokenByWeb(ctx context.Context, server string) (string, error) {
	c, err := p.dial(server, "")
	if err != nil {
		return "", err
	}
	res, err := c.Call(ctx, []string{"auth", "web", "begin"}, api.Extra{}, nil)
	if err != nil {
		return "", err
	}
	said := map[string]string{}
	for _, item := range res.Items {
		name, value, _ := strings.Cut(item.Text, ": ")
		said[name] = value
		if item.T == api.KindError {
			return "", exitf(api.ExitAuth, "%s", item.Text)
		}
	}
	page, err := url.Parse(said["URL"])
	if err != nil || page.Scheme != "http" && page.Scheme != "https" || page.Host == "" || said["Code"] == "" || said["Secret"] == "" {
		return "", exitf(api.ExitGeneral, "The server does not know logins by a browser.")
	}
	p.printer.item(api.Text("Open %s", page), nil)
	p.printer.item(api.Text("and enter the code %s", said["Code"]), nil)
	if name, args := browser(p.getenv); name != "" && isTerminal(p.In) {
		// One that cannot be opened is no error: the address is there to be read.
		_ = exec.CommandContext(ctx, name, append(args, page.String())...).Start()
	}
	for {
		res, err := c.Call(ctx, []string{"auth", "web", "wait", "--", said["Secret"]}, api.Extra{}, nil)
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
	}
}
