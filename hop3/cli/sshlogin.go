package cli

import (
	"context"
	"net"
	"os/exec"
	"strings"

	"github.com/abilian/hop3/hop3/api"
)

// sshPort is the port of a server's SSH when nothing is said.
const sshPort = "2222"

// tokenBySSH gets a token by a command that ssh runs on the server, with the
// user's own key, agent and configuration. The target is [user@]host[:port].
func (p *program) tokenBySSH(ctx context.Context, target string) (string, error) {
	user, address, named := strings.Cut(target, "@")
	if !named {
		user, address = "hop3", target
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), sshPort
	}
	if host == "" || strings.HasPrefix(host, "-") || strings.HasPrefix(user, "-") {
		return "", exitf(api.ExitUsage, "%q is no [user@]host[:port]", target)
	}
	cmd := exec.CommandContext(ctx, "ssh", "-p", port, "-l", user, "--", host, "auth token")
	cmd.Stdin, cmd.Stderr = p.In, p.Err // ssh may ask for a passphrase, or about the host's key
	out, err := cmd.Output()
	if token := jwtPattern.FindString(string(out)); err == nil && token != "" {
		return token, nil
	}
	if err != nil {
		return "", exitf(api.ExitAuth, "ssh gave no token: %v. `ssh -p %s %s@%s` tells whether the server knows your key.", err, port, user, host)
	}
	return "", exitf(api.ExitAuth, "The server gave no token.")
}

// hostOf returns the host of an SSH target, as an address.
func hostOf(target string) string {
	if _, after, named := strings.Cut(target, "@"); named {
		target = after
	}
	if host, _, err := net.SplitHostPort(target); err == nil {
		target = host
	}
	return strings.Trim(target, "[]")
}
