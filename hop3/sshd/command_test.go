package sshd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/creack/pty"
	gossh "golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git"
)

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                                     nil,
		"  app   list\t":                       {"app", "list"},
		"run --app x -- sh -c 'echo hi there'": {"run", "--app", "x", "--", "sh", "-c", "echo hi there"},
		`a "b c"d 'e f'"g h" ''`:               {"a", "b cd", "e fg h", ""},
		`"a \"b\" \$c \d" 'it'\''s' e\ f`:      {`a "b" $c \d`, "it's", "e f"},
		"$HOME * `id` a;b & | > x # y":         {"$HOME", "*", "`id`", "a;b", "&", "|", ">", "x", "#", "y"},
		"naïve 'été  '":                        {"naïve", "été  "},
	} {
		if got, err := splitWords(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{"'", `"`, `a\`, `"a\"`, "a\x00b", strings.Repeat("x", maxLine+1)} {
		if got, err := splitWords(line); hop3.CodeOf(err) != hop3.CodeInvalid {
			t.Errorf("%.20q: %q, %v", line, got, err)
		}
	}
}

// commands is a server whose commands are f's, and a client's command line.
func (s *testServer) commands(f func(ctx context.Context, words []string, con Console) int) {
	s.Commands = func(ctx context.Context, user hop3.User, words []string, con Console) int {
		if user.Username != "alice" {
			fmt.Fprintln(con.Stderr, "who is", user.Username)
			return 99
		}
		return f(ctx, words, con)
	}
}

func TestCommands(t *testing.T) {
	s := startServer(t, git.Config{})
	s.commands(func(_ context.Context, words []string, con Console) int {
		if con.Terminal != nil {
			fmt.Fprintln(con.Stderr, "a terminal without asking")
		}
		switch words[0] {
		case "cat":
			n, err := io.Copy(con.Stdout, con.Stdin)
			fmt.Fprintln(con.Stderr, n, err)
			return 0
		case "exit":
			var code int
			fmt.Sscan(words[1], &code)
			return code
		default:
			fmt.Fprintf(con.Stdout, "%q", words)
			return 0
		}
	})
	// A stock client joins its words with blanks.
	out, err := s.client(t.TempDir(), s.key, "ssh", "hop3", "run", "--app", "x", "--", "sh", "-c", "'echo hi'").Output()
	if err != nil || string(out) != `["run" "--app" "x" "--" "sh" "-c" "echo hi"]` {
		t.Errorf("%s, %v", out, err)
	}
	for _, want := range []int{0, 1, 3, 130, 255} {
		err := s.client(t.TempDir(), s.key, "ssh", "exit", fmt.Sprint(want)).Run()
		var exit *exec.ExitError
		if want == 0 && err != nil || want != 0 && (!errors.As(err, &exit) || exit.ExitCode() != want) {
			t.Errorf("exit %d: %v", want, err)
		}
	}
	data := noise(3 << 20)
	cat := s.client(t.TempDir(), s.key, "ssh", "cat")
	var stdout, stderr bytes.Buffer
	cat.Stdin, cat.Stdout, cat.Stderr = bytes.NewReader(data), &stdout, &stderr
	if err := cat.Run(); err != nil || !bytes.Equal(stdout.Bytes(), data) || stderr.String() != fmt.Sprintln(len(data), nil) {
		t.Errorf("%d bytes came back, %q, %v", stdout.Len(), stderr.String(), err)
	}
	out, err = s.client(t.TempDir(), s.key, "ssh", "'open").CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "hop3: ") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestATerminal(t *testing.T) {
	s := startServer(t, git.Config{})
	s.commands(func(_ context.Context, words []string, con Console) int {
		if con.Terminal == nil {
			fmt.Fprintln(con.Stderr, "no terminal")
			return 1
		}
		fmt.Fprintf(con.Stdout, "%s %+v\r\n", con.Terminal.Type, con.Terminal.Size)
		fmt.Fprintf(con.Stdout, "%+v\r\n", <-con.Terminal.Resizes)
		key := make([]byte, 1)
		_, err := con.Stdin.Read(key)
		fmt.Fprintf(con.Stdout, "key %d %v\r\n", key[0], err)
		return 7
	})
	ssh := s.client(t.TempDir(), s.key, "ssh", "shell")
	ssh.Args = slices.Insert(ssh.Args, 1, "-tt")
	ssh.Env = append(ssh.Env, "TERM=vt220")
	screen, err := pty.StartWithSize(ssh, &pty.Winsize{Rows: 31, Cols: 99})
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	var out lineWaiter
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		_, _ = io.Copy(&out, screen) // ends with EIO
	}()
	out.wait(t, "vt220 {Rows:31 Columns:99}")
	if err := pty.Setsize(screen, &pty.Winsize{Rows: 40, Cols: 132}); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "{Rows:40 Columns:132}")
	if _, err := screen.Write([]byte{3}); err != nil { // Ctrl-C is a key
		t.Fatal(err)
	}
	out.wait(t, "key 3 <nil>")
	var exit *exec.ExitError
	if err := ssh.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("%v\n%s", err, &out)
	}
	<-shown
}

func TestTheCommandEndsWithItsClient(t *testing.T) {
	s := startServer(t, git.Config{})
	began, ended := make(chan struct{}), make(chan struct{})
	s.commands(func(ctx context.Context, _ []string, con Console) int {
		close(began)
		<-ctx.Done()
		close(ended)
		return 1
	})
	cmd := s.client(t.TempDir(), s.key, "ssh", "sleep")
	stdin, err := cmd.StdinPipe() // open: only the client's end ends it
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := cmd.Process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	<-ended
}

func TestSignalsEndACommand(t *testing.T) {
	s := startServer(t, git.Config{})
	_, alice := newKey(t)
	s.users.add("alice", alice)
	s.commands(func(ctx context.Context, _ []string, con Console) int {
		fmt.Fprintln(con.Stdout, "ready")
		<-ctx.Done()
		return 130
	})
	client, err := s.dial(gossh.PublicKeys(alice))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Setenv("LANG", "C"); err == nil {
		t.Error("a variable was taken")
	}
	if err := session.RequestPty("bad\x1bname", 0, 1<<20, nil); err != nil {
		t.Error(err)
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("sleep"); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := session.Signal(gossh.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
	if err := session.Signal(gossh.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *gossh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 130 {
		t.Errorf("%v", err)
	}
}

func TestAPlainShellIsGreeted(t *testing.T) {
	s := startServer(t, git.Config{})
	s.commands(func(context.Context, []string, Console) int { return 1 })
	ssh := s.client(t.TempDir(), s.key, "ssh")
	ssh.Args = slices.Insert(ssh.Args, 1, "-tt")
	out, err := ssh.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Hi alice!") || !strings.Contains(string(out), "shell --app <app>\r\n") {
		t.Errorf("%v, %s", err, out)
	}
}
