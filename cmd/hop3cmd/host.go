package hop3cmd

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/abilian/hop3/caddymodules"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/auth"
	"github.com/abilian/hop3/hop3/client"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/serverconfig"
	"github.com/abilian/hop3/hop3/store"
	"github.com/abilian/hop3/hop3/stream"
)

// host runs commands of the server with an administrator's rights, for whoever
// may read the server's files: through the running server, or on the database
// when none runs.
type host struct {
	call  func(ctx context.Context, args []string) ([]api.Item, error)
	close func() error
}

// openHost finds the server of the home, or opens its database.
func openHost(ctx context.Context, home string) (*host, error) {
	config, err := serverconfig.Load(serverconfig.Options{Flags: homeFlag(home)})
	if err != nil {
		return nil, err
	}
	if err := serverconfig.Prepare(config); err != nil {
		return nil, err
	}
	lock, err := serverconfig.LockHome(config.Home)
	if hop3.CodeOf(err) == hop3.CodeConflict {
		return remoteHost(hostSocketPath(config.Home))
	}
	if err != nil {
		return nil, err
	}
	h, err := localHost(ctx, config)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	closeStore := h.close
	h.close = func() error { return errors.Join(closeStore(), lock.Close()) }
	return h, nil
}

// remoteHost talks to the server that runs.
func remoteHost(socket string) (*host, error) {
	c, err := client.New(client.Config{URL: "http://localhost", Socket: socket})
	if err != nil {
		return nil, err
	}
	return &host{
		call: func(ctx context.Context, args []string) ([]api.Item, error) {
			result, err := c.Call(ctx, args, api.Extra{}, nil)
			return result.Items, err
		},
		close: func() error { return nil },
	}, nil
}

// localHost has just enough of a platform for accounts and keys.
func localHost(ctx context.Context, config *serverconfig.Config) (*host, error) {
	db, err := store.Open(ctx, config.DatabaseURL, config.Home, store.WithSecret(config.SecretKey))
	if err != nil {
		return nil, err
	}
	credentials, err := auth.New(config.SecretKey, config.TokenExpiry)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	commands := command.New(command.Server{
		Platform: &platform.Platform{Store: db, Auth: credentials, Logger: zap.NewNop(), Settings: platform.Settings{
			ControlHost: config.ControlHost(), HTTPPort: config.HTTPPort, HTTPSPort: config.HTTPSPort,
		}},
		Streams: &stream.Hub{},
		Plugins: caddymodules.Plugins,
	})
	user := hop3.User{Username: hostAdmin.Username, Admin: true, Active: true}
	return &host{
		call: func(ctx context.Context, args []string) ([]api.Item, error) {
			return commands.Run(ctx, command.Request{Args: args, User: &user, Source: "host"})
		},
		close: db.Close,
	}, nil
}

// hostCommands are the commands of Hop3 (Python)'s host program, key, reload and
// upgrade.
func hostCommands(home *string) []*cobra.Command {
	with := func(f handler) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) (err error) {
			h, err := openHost(cmd.Context(), *home)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, h.close()) }()
			return f(cmd.Context(), h, cmd, args)
		}
	}
	create := &cobra.Command{
		Use: "admin:create <user> <email> --password-stdin", Short: "Create an administrator and print a token",
		Args: cobra.ExactArgs(2), RunE: with(adminCreate),
	}
	reset := &cobra.Command{
		Use: "admin:reset-password <user> --password-stdin", Short: "Change a user's password",
		Args: cobra.ExactArgs(1), RunE: with(adminResetPassword),
	}
	for _, c := range []*cobra.Command{create, reset} {
		c.Flags().Bool("password-stdin", false, "read the password from standard input")
	}
	return slices.Concat(reloadCommands(home), databaseCommands(home), sshCommands(home), []*cobra.Command{
		setupCommand(home),
		create,
		reset,
		{Use: "admin:token <user>", Short: "Print a token for a user", Args: cobra.ExactArgs(1), RunE: with(adminToken)},
		{Use: "admin:ssh-token", Short: "Print a token for the first administrator, who is created when there is none", Args: cobra.NoArgs, RunE: with(adminSSHToken)},
		{Use: "admin:list", Short: "List the users", Args: cobra.NoArgs, RunE: with(passOn("user", "list"))},
		{Use: "auth:magic-link <user>", Short: "Print a link that logs a user in, once, within 5 minutes", Args: cobra.ExactArgs(1), RunE: with(magicLink)},
		{Use: "plugins", Short: "List what is built into the server", Args: cobra.NoArgs, RunE: with(passOn("plugin", "list"))},
		{Use: "routes", Short: "List the hosts that are served, and whose they are", Args: cobra.NoArgs, RunE: with(passOn("route", "list"))},
		keyCommand(with),
	})
}

type handler = func(ctx context.Context, h *host, cmd *cobra.Command, args []string) error

func keyCommand(with func(handler) func(*cobra.Command, []string) error) *cobra.Command {
	key := &cobra.Command{Use: "key", Short: "Manage the SSH keys that may push"}
	key.AddCommand(
		&cobra.Command{Use: "add <user> <file>", Short: "Let a public key push as a user", Args: cobra.ExactArgs(2), RunE: with(keyAdd)},
		&cobra.Command{Use: "list", Short: "List all keys", Args: cobra.NoArgs, RunE: with(passOn("key", "list", "--all"))},
		&cobra.Command{Use: "remove <fingerprint>", Short: "Take a key away", Args: cobra.ExactArgs(1), RunE: with(passOn("key", "remove"))},
	)
	return key
}

// passOn runs a command of the server with the arguments given behind it.
func passOn(words ...string) handler {
	return func(ctx context.Context, h *host, cmd *cobra.Command, args []string) error {
		return h.print(ctx, cmd.OutOrStdout(), append(append([]string{}, words...), args...)...)
	}
}

// print runs a command and prints what it answers as plain text.
func (h *host) print(ctx context.Context, out io.Writer, args ...string) error {
	items, err := h.call(ctx, args)
	for _, item := range items {
		switch {
		case item.T == api.KindTable:
			for _, row := range item.Rows {
				cells := make([]string, len(row))
				for i, cell := range row {
					cells[i] = fmt.Sprint(cell)
				}
				fmt.Fprintln(out, strings.Join(cells, "\t"))
			}
		case item.T == api.KindText:
			fmt.Fprintln(out, item.Text)
		}
	}
	return err
}

func adminCreate(ctx context.Context, h *host, cmd *cobra.Command, args []string) error {
	password, err := readPassword(cmd)
	if err != nil {
		return err
	}
	user, email := args[0], args[1]
	if _, err := h.call(ctx, []string{"user", "add", user, email, password, "--admin"}); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Admin user '%s' created successfully.\n", user)
	token, err := h.token(ctx, user)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s\nLog in with: hop3 login \"SERVER_URL?token=%s\"\n", token, token)
	return nil
}

func adminToken(ctx context.Context, h *host, cmd *cobra.Command, args []string) error {
	token, err := h.token(ctx, args[0])
	if err == nil {
		fmt.Fprintln(cmd.OutOrStdout(), token)
	}
	return err
}

// magicLink prints the link alone: for scripts, and to be clicked.
func magicLink(ctx context.Context, h *host, cmd *cobra.Command, args []string) error {
	items, err := h.call(ctx, []string{"auth", "magic-link", args[0]})
	if err != nil {
		return err
	}
	if len(items) < 2 {
		return errors.New("the server returned no link")
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), items[1].Text)
	return err
}

func adminSSHToken(ctx context.Context, h *host, cmd *cobra.Command, _ []string) error {
	name, err := h.firstAdmin(ctx)
	if err != nil {
		return err
	}
	if name == "" {
		name = "admin"
		if _, err := h.call(ctx, []string{"user", "add", name, "admin@localhost", rand.Text(), "--admin"}); err != nil {
			return err
		}
	}
	return adminToken(ctx, h, cmd, []string{name})
}

func adminResetPassword(ctx context.Context, h *host, cmd *cobra.Command, args []string) error {
	password, err := readPassword(cmd)
	if err != nil {
		return err
	}
	return h.print(ctx, cmd.OutOrStdout(), "user", "set-password", args[0], password)
}

func keyAdd(ctx context.Context, h *host, cmd *cobra.Command, args []string) error {
	line, err := os.ReadFile(args[1])
	if err != nil {
		return hop3.Errorf(hop3.CodeInvalid, "reading the key: %w", err)
	}
	return h.print(ctx, cmd.OutOrStdout(), "key", "add", "--user", args[0], strings.TrimSpace(string(line)))
}

// token returns a new token of the user.
func (h *host) token(ctx context.Context, user string) (string, error) {
	items, err := h.call(ctx, []string{"user", "generate-token", user})
	if err != nil {
		return "", err
	}
	if len(items) == 0 {
		return "", errors.New("the server returned no token")
	}
	return items[0].Text, nil
}

// firstAdmin returns the first active administrator, "" when there is none.
func (h *host) firstAdmin(ctx context.Context) (string, error) {
	items, err := h.call(ctx, []string{"user", "list"})
	if err != nil {
		return "", err
	}
	for _, item := range items {
		// Username, email, admin, active; a user may have no email.
		columns := strings.Fields(item.Text)
		if n := len(columns); n >= 3 && columns[n-2] == "yes" && columns[n-1] == "yes" {
			return columns[0], nil
		}
	}
	return "", nil
}

// readPassword reads the first line of standard input.
func readPassword(cmd *cobra.Command) (string, error) {
	if given, _ := cmd.Flags().GetBool("password-stdin"); !given {
		return "", hop3.Errorf(hop3.CodeInvalid, "the password is read from standard input").
			WithHint("Usage: printf %%s \"$PASSWORD\" | hop3-server %s", cmd.Use)
	}
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", hop3.Errorf(hop3.CodeInvalid, "the password on standard input is empty")
	}
	return line, nil
}
