package hop3cmd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/caddymodules"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
	"github.com/abilian/hop3/hop3/serverconfig"
	"github.com/abilian/hop3/hop3/sshd"
)

// sshCommands are for the host's own SSH server, which asks for them as forced
// commands of its keys: git's two, and any line. They lead to the SSH server of
// the running Hop3, whose rules apply.
func sshCommands(home *string) []*cobra.Command {
	var user string
	git := func(verb, short string) *cobra.Command {
		c := &cobra.Command{
			Use: verb + " <app>", Short: short, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				app, err := repositoryApp(args[0])
				if err != nil {
					return err
				}
				return forwardLine(cmd, *home, user, verb+" '"+app+"'")
			},
		}
		c.Flags().StringVar(&user, "user", "", "as whom (default: the first administrator)")
		return c
	}
	return append(pythonClientCommands(home), []*cobra.Command{
		git("git-receive-pack", "Take a push that came by the host's own SSH server"),
		git("git-upload-pack", "Answer a fetch that came by the host's own SSH server"),
		{
			Use: "ssh-session <user>", Hidden: true, Args: cobra.ExactArgs(1),
			Short: "Do what an SSH client of the host asks for, as a user",
			RunE: func(cmd *cobra.Command, args []string) error {
				return forwardLine(cmd, *home, args[0], os.Getenv("SSH_ORIGINAL_COMMAND"))
			},
		},
		setupSSHCommand(home),
	}...)
}

// repositoryApp takes the forms of a repository's path that clients of Hop3
// (Python) have in their remotes: blog, blog.git, /home/hop3/apps/blog/git.
func repositoryApp(path string) (string, error) {
	name := strings.Trim(path, "'\"")
	name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(name, "/"), "/git"), ".git")
	name = filepath.Base(name)
	return name, hop3.ValidateAppName(name)
}

// forwardLine runs a line at the server's SSH server with this process's input
// and output, and ends it with the line's own exit status.
func forwardLine(cmd *cobra.Command, home, user, line string) error {
	config, err := serverconfig.Load(serverconfig.Options{Flags: homeFlag(home)})
	if err != nil {
		return err
	}
	conn, err := dialSSH(cmd.Context(), config.Home, user)
	if err != nil {
		return err
	}
	defer conn.Close()
	session, err := conn.NewSession()
	if err != nil {
		return fmt.Errorf("opening a session: %w", err)
	}
	defer session.Close()
	if protocol := os.Getenv("GIT_PROTOCOL"); protocol != "" {
		if err := session.Setenv("GIT_PROTOCOL", protocol); err != nil {
			return fmt.Errorf("saying which git protocol the client speaks: %w", err)
		}
	}
	session.Stdout, session.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
	input, err := session.StdinPipe()
	if err != nil {
		return err
	}
	go func() { // ends with the process: nothing wakes a reader of standard input
		_, _ = io.Copy(input, cmd.InOrStdin()) // the session says what went wrong
		_ = input.Close()
	}()
	if line == "" {
		err = errors.Join(session.Shell(), session.Wait())
	} else {
		err = session.Run(line)
	}
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return exitStatus(exit.ExitStatus())
	}
	return err
}

// exitStatus ends the program with a status, when all has been said.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// dialSSH connects to the SSH server of the Hop3 that runs on home, as one of
// its users, by a key that is made for it.
func dialSSH(ctx context.Context, home, user string) (*ssh.Client, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	request, err := json.Marshal(caddymodules.SSHRequest{User: user, Key: string(ssh.MarshalAuthorizedKey(key))})
	if err != nil {
		return nil, err
	}
	var answer caddymodules.SSHAnswer
	if err := newProcessClient(home).do(ctx, "POST", "http://localhost/host/ssh", bytes.NewReader(request), &answer); err != nil {
		if hop3.CodeOf(err) == hop3.CodeConflict {
			return nil, err
		}
		return nil, hop3.Errorf(hop3.CodeUnavailable, "no server answers on %s: %s", home, reason(err)).
			WithHint("Start one with `hop3 run`. For another home, say --home.")
	}
	host, err := sshd.LoadHostKey(filepath.Join(home, "ssh", "host_ed25519"))
	if err != nil {
		return nil, err
	}
	client, err := ssh.Dial("tcp", answer.Address, &ssh.ClientConfig{
		User: answer.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.FixedHostKey(host.PublicKey()), Timeout: 30 * time.Second,
	})
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "connecting to the SSH server at %s: %w", answer.Address, err)
	}
	return client, nil
}

func homeFlag(home string) map[string]string {
	if home == "" {
		return nil
	}
	return map[string]string{"home": home}
}

func setupSSHCommand(home *string) *cobra.Command {
	var user, authorized string
	c := &cobra.Command{
		Use: "setup:ssh <key-file>", Short: "Let a public key push; - reads it from standard input", Args: cobra.ExactArgs(1),
		Long: `Let a public key push and run commands as a user.

With --authorized-keys the host's own SSH server lets it do the same: the key is
written there with a forced command, and nothing but Hop3 can be reached by it.`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			line, err := readKey(cmd, args[0])
			if err != nil {
				return err
			}
			h, err := openHost(cmd.Context(), *home)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, h.close()) }()
			who := user
			if who == "" {
				if who, err = h.firstAdmin(cmd.Context()); err != nil {
					return err
				}
				if who == "" {
					return hop3.Errorf(hop3.CodeNotFound, "there is no administrator whose key this could be").
						WithHint("Make one first: %s", makeAdmin)
				}
			}
			if err := h.setupKey(cmd, who, line); err != nil || authorized == "" {
				return err
			}
			config, err := serverconfig.Load(serverconfig.Options{Flags: homeFlag(*home)})
			if err != nil {
				return err
			}
			return authorize(cmd.OutOrStdout(), authorized, config.Home, who, line)
		},
	}
	c.Flags().StringVar(&user, "user", "", "whose key it is (default: the first administrator's)")
	c.Flags().StringVar(&authorized, "authorized-keys", "", "this `file` of the host's own SSH server too, as ~hop3/.ssh/authorized_keys")
	return c
}

// setupKey adds a key, unless the user has it.
func (h *host) setupKey(cmd *cobra.Command, user, line string) error {
	err := h.print(cmd.Context(), cmd.OutOrStdout(), "key", "add", "--user", user, line)
	if !isConflict(err) {
		return err
	}
	key, _, _, _, parseErr := ssh.ParseAuthorizedKey([]byte(line))
	items, listErr := h.call(cmd.Context(), []string{"key", "list", "--user", user})
	if parseErr != nil || listErr != nil {
		return errors.Join(err, parseErr, listErr)
	}
	for _, item := range items {
		for _, row := range item.Rows {
			if slices.Contains(row, any(ssh.FingerprintSHA256(key))) {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s has the key already.\n", user)
				return err
			}
		}
	}
	return err
}

// isConflict knows a conflict of the running server, and of the database.
func isConflict(err error) bool {
	var answered *client.Error
	return errors.As(err, &answered) && answered.Exit() == api.ExitConflict || hop3.CodeOf(err) == hop3.CodeConflict
}

func readKey(cmd *cobra.Command, name string) (string, error) {
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), 64<<10))
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return "", hop3.Errorf(hop3.CodeInvalid, "reading the key: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// authorize adds a key to a file of authorized keys (sshd(8)), unless it is
// there.
func authorize(out io.Writer, file, home, user, line string) error {
	key, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return hop3.Errorf(hop3.CodeInvalid, "reading the key: %w", err)
	}
	if err := hop3.ValidateUsername(user); err != nil {
		return err
	}
	plain := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return hop3.Errorf(hop3.CodeInvalid, "reading %s: %w", file, err)
	}
	if strings.Contains(string(text), plain) {
		_, err := fmt.Fprintf(out, "The key is in %s already.\n", file)
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	// The host's SSH server knows nothing of the environment.
	command := strings.Join([]string{program, "ssh-session", "--home", home, user}, " ")
	// The line is read by sshd, and the command by the user's shell.
	if strings.ContainsAny(command, "'\"\\$`;&|<>()*?[]#~\t\n") {
		return hop3.Errorf(hop3.CodeInvalid, "%q cannot be a forced command: there are characters in it that a shell reads", command)
	}
	entry := fmt.Sprintf("restrict,command=\"%s\" %s %s\n", command, plain, strings.Map(onlyPrintable, comment))
	if len(text) > 0 && text[len(text)-1] != '\n' {
		entry = "\n" + entry
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return hop3.Errorf(hop3.CodeInvalid, "writing %s: %w", file, err)
	}
	if _, err := f.WriteString(entry); err != nil {
		return errors.Join(hop3.Errorf(hop3.CodeUnavailable, "writing %s: %w", file, err), f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "The host's own SSH server lets it push too, by %s.\n", file)
	return err
}

func onlyPrintable(r rune) rune {
	if r < ' ' || r > '~' {
		return '_'
	}
	return r
}
