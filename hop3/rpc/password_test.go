package rpc_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/cli"
	"github.com/abilian/hop3/hop3/client"
)

const newPassword = "correct horse battery"

// Who changes their password knows the current one, and has a code; the other
// logins end, and the tokens when that is asked for.
func TestChangingOnesPassword(t *testing.T) {
	w := newWorld(t)
	w.server.Config.Handler = fromElsewhere{w.handler}
	other := w.user
	mine := w.texts("", "auth", "get-token", "alice", password)[0]
	named := w.texts(mine, "token", "create", "ci", "--scope", "admin")
	ci := named[slices.IndexFunc(named, func(s string) bool { return strings.HasPrefix(s, "eyJ") })]
	narrow := w.texts(mine, "token", "create", "dash", "--scope", "read")[0]
	holds := func(what, token string, want int) {
		t.Helper()
		if status, _ := w.post(token, request("whoami")); status != want {
			t.Errorf("%s: status %d, want %d", what, status, want)
		}
	}
	w.says("error 401", "", "auth", "password", password, newPassword)
	w.says("error 4", narrow, "auth", "password", password, newPassword)
	w.says("The current password is not right", mine, "auth", "password", "not that one", newPassword)
	w.says("at least 8", mine, "auth", "password", password, "short")
	w.says("is the current one", mine, "auth", "password", password, password)
	holds("another login, when nothing was changed", other, http.StatusOK)

	before := w.lastEvent()
	w.says("Your password is changed", mine, "auth", "password", password, newPassword)
	if kinds := w.kinds(t, before); !slices.Contains(kinds, hop3.EventUserChanged) {
		t.Errorf("it leaves %v", kinds)
	}
	holds("the login that did it", mine, http.StatusOK)
	holds("another login", other, http.StatusUnauthorized)
	holds("a token with a name", ci, http.StatusOK)
	w.says("Invalid username or password", "", "auth", "get-token", "alice", password)

	recovery := w.secondFactor(mine)
	w.says(api.CodeNeeded, mine, "auth", "password", newPassword, password)
	w.says("The code is not right", mine, "auth", "password", newPassword, password, "000000")
	w.says("Your password is changed", mine, "auth", "password", newPassword, password, recovery[0], "--tokens")
	holds("a token with a name, when it was asked to end", ci, http.StatusUnauthorized)
	holds("the login that did it", mine, http.StatusOK)

	for range 15 {
		w.texts(mine, "auth", "password", "a guess at it", newPassword)
	}
	w.says("Too many", mine, "auth", "password", password, newPassword, recovery[1])
}

// A person is asked, and what they type is not seen.
func TestChangingOnesPasswordAtATerminal(t *testing.T) {
	w := newWorld(t)
	recovery := w.secondFactor(w.user)
	screen, tty, err := pty.Open()
	must(t, err)
	defer screen.Close()
	defer tty.Close()
	var out transcript
	go func() { _, _ = io.Copy(&out, screen) }() // ends with the terminal
	t.Setenv("HOP3_CONFIG_DIR", filepath.Join(t.TempDir(), "config"))
	t.Setenv("HOP3_API_URL", w.server.URL)
	t.Setenv("HOP3_API_TOKEN", w.user)
	code := make(chan int, 1)
	change := func(again string) {
		t.Helper()
		go func() { code <- cli.Main([]string{"auth", "password"}, cli.Stdio{In: tty, Out: tty, Err: tty}, nil) }()
		for _, step := range [][2]string{{"Current password: ", password}, {"New password: ", newPassword}, {"New password again: ", again}} {
			out.wait(t, step[0])
			_, err := io.WriteString(screen, step[1]+"\n")
			must(t, err)
		}
	}
	change("something else")
	if got := <-code; got != api.ExitUsage {
		t.Errorf("exit %d\n%s", got, out.String())
	}
	out.wait(t, "not the same")
	out.reset()
	change(newPassword)
	out.wait(t, "Code: ")
	_, err = fmt.Fprintln(screen, recovery[0])
	must(t, err)
	if got := <-code; got != 0 {
		t.Errorf("exit %d\n%s", got, out.String())
	}
	out.wait(t, "Your password is changed")
	if shown := out.String(); strings.Contains(shown, password) || strings.Contains(shown, newPassword) {
		t.Errorf("a password is on the screen:\n%s", shown)
	}

	code2, _, errs := w.hop3In(strings.NewReader(newPassword+"\n"+password+"\n"), "auth", "password", "--password-stdin", "--code", recovery[1])
	if code2 != 0 {
		t.Errorf("by the input: exit %d, %s", code2, errs)
	}
	if code2, _, errs = w.hop3In(strings.NewReader(password+"\n"), "auth", "password", "--password-stdin"); code2 != api.ExitUsage {
		t.Errorf("half of it: exit %d, %s", code2, errs)
	}
}

// A logout ends what is open with its token: streams and consoles, not those of
// another login.
func TestALogoutEndsWhatIsOpen(t *testing.T) {
	w := deployed(t)
	other := w.texts("", "auth", "get-token", "root", password)[0]
	mine := w.texts("", "auth", "get-token", "root", password)[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	open := func(token string) chan struct{} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+"/api/events", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, resp.Body) // how it ends is not asked
			_ = resp.Body.Close()
		}()
		return ended
	}
	stream, others := open(mine), open(other)
	// The client says nothing of a console before there is one: its first word does.
	var said transcript
	console := make(chan struct{})
	never, typed := io.Pipe()
	defer typed.Close()
	go func() {
		defer close(console)
		_, _ = w.client(mine).Attach(ctx, run("sh", "-c", "echo ready; cat"), client.Console{Stdin: never, Stdout: &said, Stderr: &said}) // how it ends is not asked
	}()
	said.wait(t, "ready")

	program := w.texts(other, "token", "create", "ci", "--scope", "read")[0]
	w.says("Logged out", program, "auth", "logout")
	if _, listed := w.post(other, request("token", "list")); strings.Contains(listed, `"ci"`) {
		t.Errorf("a token that logged out is listed: %s", listed)
	}
	w.says("Logged out", mine, "auth", "logout")
	for name, ended := range map[string]chan struct{}{"stream": stream, "console": console} {
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Errorf("the %s goes on after the logout", name)
		}
	}
	select {
	case <-others:
		t.Error("another login's stream has ended, too")
	default:
	}
	if status, _ := w.post(other, request("whoami")); status != http.StatusOK {
		t.Errorf("another login: status %d", status)
	}
}
