package hop3cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// hostAdmin is who runs host commands: whoever may read the server's files.
var hostAdmin = platform.Actor{Username: "host", Admin: true}

// firstRun makes the first account when there is none: an administrator named
// after the person at the terminal, with the SSH keys found there.
func firstRun(ctx context.Context, p *platform.Platform, out io.Writer) error {
	users, err := p.Store.Users(ctx)
	if err != nil || len(users) > 0 {
		return err
	}
	name := localName()
	if err := p.Store.CreateUser(ctx, hop3.User{Username: name, Email: name + "@localhost", Admin: true, Active: true}); err != nil {
		return fmt.Errorf("creating the first user: %w", err)
	}
	fmt.Fprintf(out, "First run: created the administrator '%s'.\n", name)
	home, err := os.UserHomeDir()
	if err != nil {
		return nil // nothing to import from
	}
	found, err := filepath.Glob(filepath.Join(home, ".ssh", "id_*.pub"))
	if err != nil {
		return nil
	}
	for _, path := range found {
		line, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if _, err := p.AddKey(ctx, hostAdmin, name, strings.TrimSpace(string(line))); err != nil {
			fmt.Fprintf(out, "The key %s was not imported: %s\n", path, hop3.MessageOf(err))
			continue
		}
		fmt.Fprintf(out, "Imported the key %s: you can push with it.\n", path)
	}
	if len(found) == 0 {
		fmt.Fprintf(out, "No SSH key was found in %s. Make one with `ssh-keygen -t ed25519`, then: hop3 key add %s ~/.ssh/id_ed25519.pub\n", filepath.Join(home, ".ssh"), name)
	}
	fmt.Fprintln(out)
	return nil
}

func localName() string {
	for _, name := range []string{os.Getenv("SUDO_USER"), os.Getenv("USER")} {
		if name != "" && hop3.ValidateUsername(name) == nil {
			return name
		}
	}
	if u, err := user.Current(); err == nil && hop3.ValidateUsername(u.Username) == nil {
		return u.Username
	}
	return "admin"
}

// banner prints what a person needs next. A home that was named here must be
// named again by host commands.
func banner(out io.Writer, c *serverconfig.Config, namedHome bool) {
	fmt.Fprintf(out, "Hop3 is running. Its home is %s\n\n", c.Home)
	var urls []string
	if c.HTTPPort != 0 {
		urls = append(urls, "http://<app>."+c.BaseDomain+suffix(c.HTTPPort, 80))
	}
	if c.HTTPSPort != 0 {
		urls = append(urls, "https://<app>."+c.BaseDomain+suffix(c.HTTPSPort, 443))
	}
	fmt.Fprintf(out, "  Apps     %s\n", strings.Join(urls, "   "))
	fmt.Fprintf(out, "  API      http://%s:%d\n", c.Host, c.Port)
	if c.SSHPort != 0 {
		host := c.BaseDomain
		fmt.Fprintf(out, "  Deploy   git remote add hop3 ssh://hop3@%s%s/<app>\n", host, suffix(c.SSHPort, 22))
		fmt.Fprintf(out, "           git push hop3 main\n")
	}
	home := ""
	if namedHome {
		home = " --home " + c.Home
	}
	fmt.Fprintf(out, "  Log in   hop3 login \"http://%s:%d?token=$(hop3 admin:token %s%s)\"\n\n", c.Host, c.Port, localName(), home)
}

func suffix(port, standard int) string {
	if port == standard {
		return ""
	}
	return fmt.Sprintf(":%d", port)
}
