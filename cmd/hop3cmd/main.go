package hop3cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cli"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// Main is the program, by both of its names: hop3 and hop3-server. It returns
// the exit status.
func Main(args []string) int {
	if filepath.Base(args[0]) == "hop3-server" || len(args) > 1 && isHostCommand(args[1]) {
		return execute(Root(), args[1:])
	}
	status := cli.Main(args[1:], cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, hostSocket)
	if asksForHelp(args[1:]) {
		printHostHelp(os.Stdout)
	}
	return status
}

// asksForHelp reports whether the arguments ask for the list of commands.
func asksForHelp(args []string) bool {
	return len(args) == 0 || len(args) == 1 && slices.Contains([]string{"help", "--help", "-h"}, args[0])
}

// printHostHelp lists what this program can do besides a client's commands.
func printHostHelp(out io.Writer) {
	fmt.Fprintln(out, "\nON THE SERVER'S HOST")
	for _, c := range Commands() {
		name, _, _ := strings.Cut(c.Use, " ")
		fmt.Fprintf(out, "  %-20s %s\n", name, c.Short)
	}
	fmt.Fprintln(out, "\n`hop3 run` is the server; a command of an app is `hop3 app run`.")
}

// Root is the command of the server's host.
func Root() *cobra.Command {
	root := &cobra.Command{
		Use:           "hop3-server",
		Short:         "The host's side of Hop3: run the server, manage who may use it",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(Commands()...)
	root.AddCommand(manCommand(root))
	return root
}

// Commands returns the host's commands.
func Commands() []*cobra.Command {
	var home string
	all := []*cobra.Command{runCommand(), listModulesCommand(), caddyCommand()}
	host := hostCommands(&home)
	for _, c := range host {
		c.PersistentFlags().StringVar(&home, "home", "", "the server's home directory")
	}
	return append(all, host...)
}

// sharedWords begin commands of the host and of a server: they are the host's
// for who is not logged in to any.
var sharedWords = []string{"key", "plugins", "routes"}

// isHostCommand reports whether hop3's first argument is for the host and not
// for a server somewhere.
func isHostCommand(word string) bool {
	if slices.Contains(sharedWords, word) {
		return !cli.LoggedIn()
	}
	for _, c := range Commands() {
		if c.Name() == word || slices.Contains(c.Aliases, word) {
			return true
		}
	}
	return false
}

func execute(root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "hop3: %s\n", sentence(err))
		return 1
	}
	return 0
}

// sentence is what a person is told of an error.
func sentence(err error) string {
	if hop3.CodeOf(err) != hop3.CodeInternal {
		return hop3.MessageOf(err)
	}
	return err.Error()
}

// hostSocket returns the socket of the server that runs on this host, "" when
// there is none that this user may talk to.
func hostSocket() string {
	config, err := serverconfig.Load(serverconfig.Options{})
	if err != nil {
		return ""
	}
	if !hostSocketAnswers(config.Home) {
		return ""
	}
	return hostSocketPath(config.Home)
}

// hostSocketAnswers reports whether a server runs on a home that this user may
// talk to.
func hostSocketAnswers(home string) bool {
	conn, err := net.Dial("unix", hostSocketPath(home))
	return err == nil && conn.Close() == nil
}

// listModulesCommand lists what plugs into Hop3.
func listModulesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list-modules", Short: "List the modules that are built in, Caddy's and Hop3's", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runCaddy([]string{"list-modules"}) },
	}
}

// caddyVerbs are the commands of Caddy that make sense in this program: the
// others would start it by its own name, or replace it by a plain Caddy.
var caddyVerbs = []string{"adapt", "fmt", "list-modules", "reload", "run", "validate", "version"}

func caddyCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "caddy " + strings.Join(caddyVerbs, "|"),
		Short:              "Caddy's own commands, for those who bring a Caddyfile",
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || !slices.Contains(caddyVerbs, args[0]) {
				return hop3.Errorf(hop3.CodeInvalid, "hop3 caddy takes one of: %s", strings.Join(caddyVerbs, ", "))
			}
			return runCaddy(args)
		},
	}
}

// runCaddy becomes Caddy's command line. It returns only for commands that end
// well; Caddy exits by itself on errors.
func runCaddy(args []string) error {
	os.Args = append([]string{os.Args[0]}, args...)
	caddycmd.Main()
	return nil
}

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "hop3",
		Short: "Runs a Hop3 server and manages who may use it",
		CobraFunc: func(c *cobra.Command) {
			c.SilenceErrors = true
			c.AddCommand(Commands()...)
		},
	})
}
