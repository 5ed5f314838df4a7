package hop3cmd

import (
	"errors"
	"fmt"
	"os/exec"

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
