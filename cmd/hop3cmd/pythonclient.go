package hop3cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cli"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// The client of Hop3 (Python) logs in by the host's own SSH server: it runs
// `su - hop3 -c '/home/hop3/venv/bin/hop3-server …'` there.

// pythonClientCommands are what it asks for beside the commands for accounts.
func pythonClientCommands(home *string) []*cobra.Command {
	return []*cobra.Command{
		{
			Use: "admin:server-url", Short: "Print the API's public address, if it has one", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				config, err := serverconfig.Load(serverconfig.Options{Flags: homeFlag(*home)})
				if err == nil {
					if url := publicURL(config.AdminDomain, config.HTTPSPort); url != "" {
						fmt.Fprintln(cmd.OutOrStdout(), url)
					}
				}
				return err
			},
		},
		{
			Use: "app-shell <app>", Short: "Open a shell with an app's variables", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				config, err := serverconfig.Load(serverconfig.Options{Flags: homeFlag(*home)})
				if err != nil {
					return err
				}
				if err := hop3.ValidateAppName(args[0]); err != nil {
					return err
				}
				status := cli.Main([]string{"app", "shell", "--app", args[0]}, cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr},
					func() string { return hostSocketPath(config.Home) })
				if status != 0 {
					return exitStatus(status)
				}
				return nil
			},
		},
	}
}

// publicURL returns the address of an admin domain that was chosen and that
// other machines can reach, else "".
func publicURL(domain string, port int) string {
	switch {
	case domain == "" || hop3.LocalHost(domain) || port == 0:
		return ""
	case port == 443:
		return "https://" + domain
	}
	return "https://" + net.JoinHostPort(domain, strconv.Itoa(port))
}

// linkForPythonClient puts a link to this program where that client looks for
// it below the home. What is there stays.
func linkForPythonClient(home string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	path := filepath.Join(home, "venv", "bin", "hop3-server")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making a link for clients: %w", err)
	}
	if err := os.Symlink(self, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making a link for clients: %w", err)
	}
	return nil
}
