package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// openApp opens the app's address in a browser, or prints it where there is
// none.
func openApp(ctx context.Context, p *program, args []string) error {
	onlyPrint, args := toggle(args, "--print")
	if err := noMore(args); err != nil {
		return err
	}
	address, err := p.appAddress(ctx)
	if err != nil {
		return err
	}
	name, arguments := browser(p.getenv)
	if onlyPrint || name == "" {
		p.printer.item(api.Text("%s", address), nil)
		return nil
	}
	if err := exec.CommandContext(ctx, name, append(arguments, address)...).Run(); err != nil {
		return exitf(api.ExitGeneral, "%s could not be opened with %s (%v).", address, name, err)
	}
	p.printer.item(api.Text("Opened %s", address), nil)
	return nil
}

// appAddress is the URL in the app's status.
func (p *program) appAddress(ctx context.Context) (string, error) {
	app, err := p.resolveApp()
	if err != nil {
		return "", err
	}
	c, err := p.connect()
	if err != nil {
		return "", err
	}
	res, err := c.Call(ctx, []string{"app", "status", "--app", app}, api.Extra{}, nil)
	if err != nil {
		return "", err
	}
	for _, item := range res.Items {
		for _, row := range item.Rows {
			if len(row) < 2 || row[0] != "URL" {
				continue
			}
			address := strings.Fields(fmt.Sprint(row[1]))
			if len(address) == 0 {
				continue
			}
			// It is given to a program: nothing but an address may be.
			if u, err := url.Parse(address[0]); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
				return u.String(), nil
			}
		}
	}
	return "", exitf(api.ExitNotFound, "'%s' has no address: it serves no HTTP, or was never deployed.", app)
}

// browser is the program that opens an address; "" where there is none.
func browser(getenv func(string) string) (name string, args []string) {
	if own := strings.Fields(getenv("BROWSER")); len(own) > 0 {
		return own[0], own[1:]
	}
	switch runtime.GOOS {
	case "darwin":
		return "open", nil
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler"}
	}
	if getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "" {
		return "", nil
	}
	return "xdg-open", nil
}

var gitRemote = regexp.MustCompile(`git remote add \S+ (\S+)`)

// openSSH opens a shell in the app's environment by ssh, or runs a command of
// the server there: for who has no token here, but a key.
func openSSH(ctx context.Context, p *program, args []string) error {
	app, err := p.resolveApp()
	if err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	res, err := c.Call(ctx, []string{"git", "setup", "--app", app}, api.Extra{}, nil)
	if err != nil {
		return err
	}
	host, port := "", "22"
	for _, item := range res.Items {
		if m := gitRemote.FindStringSubmatch(item.Text); m != nil {
			host, port = sshPlace(m[1])
		}
	}
	if host == "" || strings.HasPrefix(host, "-") {
		return exitf(api.ExitNotFound, "The server does not say where its SSH server is.")
	}
	command := []string{"-p", port, "hop3@" + host}
	if len(args) == 0 {
		command = append([]string{"-t"}, append(command, "shell", "--app", app)...)
	} else {
		command = append(command, append([]string{"run", "--app", app, "--"}, quoteAll(args)...)...)
	}
	cmd := exec.CommandContext(ctx, "ssh", command...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, p.Out, p.Err
	err = cmd.Run()
	if status := cmd.ProcessState; status != nil && status.Exited() {
		return exitWith(status.ExitCode())
	}
	return err
}

// sshPlace takes host and port out of a git remote.
func sshPlace(remote string) (host, port string) {
	if u, err := url.Parse(remote); err == nil && u.Scheme == "ssh" {
		if u.Port() != "" {
			return u.Hostname(), u.Port()
		}
		return u.Hostname(), "22"
	}
	_, rest, _ := strings.Cut(remote, "@")
	host, _, _ = strings.Cut(rest, ":")
	return host, "22"
}

// quoteAll quotes words for the server's SSH, which takes them apart as a shell
// would.
func quoteAll(words []string) []string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return quoted
}
