package hop3cmd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/abilian/hop3/hop3/serverconfig"
)

const makeAdmin = `printf %s "$PASSWORD" | hop3-server admin:create NAME EMAIL --password-stdin`

// setupCommand prepares a host for its first start. What is there stays.
func setupCommand(home *string) *cobra.Command {
	return &cobra.Command{
		Use: "setup", Short: "Make the server's home, secret key and database, and say what comes next", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			config, err := serverconfig.Load(serverconfig.Options{Flags: homeFlag(*home)})
			if err != nil {
				return err
			}
			h, err := openHost(cmd.Context(), *home) // makes what is missing
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, h.close()) }()
			if err := linkForPythonClient(config.Home); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "Home: %s\n", config.Home)
			for _, program := range []struct{ name, why string }{
				{"git", "pushes need it: apt-get install git"},
				{"uwsgi", "without it apps run under the server's own supervisor"},
			} {
				if path, err := exec.LookPath(program.name); err == nil {
					fmt.Fprintf(out, "%s: %s\n", program.name, path)
				} else {
					fmt.Fprintf(out, "%s: not installed; %s\n", program.name, program.why)
				}
			}
			link, err := linkHostProgram(config.Home)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "hop3-server: %s\n", link)
			admin, err := h.firstAdmin(cmd.Context())
			if err != nil {
				return err
			}
			if admin == "" {
				fmt.Fprintf(out, "Next, make an administrator: %s\n", makeAdmin)
			} else {
				fmt.Fprintf(out, "Administrator: %s\n", admin)
			}
			fmt.Fprintln(out, "Let a key push: hop3-server setup:ssh ~/.ssh/id_ed25519.pub")
			if !hostSocketAnswers(config.Home) {
				fmt.Fprintln(out, "Start the server: hop3 run")
			}
			return nil
		},
	}
}

// linkHostProgram lets clients of Hop3 (Python), which run
// /home/hop3/venv/bin/hop3-server by ssh, find this program there: below the
// home, whichever that is. What somebody else put there stays.
func linkHostProgram(home string) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	link := filepath.Join(home, "venv", "bin", "hop3-server")
	old, err := os.Readlink(link)
	switch {
	case err == nil && old == program:
		return link, nil
	case err == nil:
		if err := os.Remove(link); err != nil { // to an older program of ours
			return "", err
		}
	case !errors.Is(err, os.ErrNotExist):
		return link, nil // a program, and no link
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return "", err
	}
	return link, os.Symlink(program, link)
}
