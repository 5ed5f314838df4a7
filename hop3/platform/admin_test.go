package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

const withAccounts = "[admin]\nusername = \"root\"\nemail = \"operator\"\npassword = { generate = \"password\" }\ncreate = \"make admin\"\n" +
	"[probe]\ncreate = \"make probe\"\n[env.computed]\nLOGIN = \"${HOP3_ADMIN_USER}\"\n"

// commands has the app's commands noted, and fail where they are named in fail.
func (w *world) commands(fail map[string]bool) *[]string {
	var ran []string
	w.runtime.run = func(_ context.Context, l hop3.Launch, cmd hop3.OneOff) (int, error) {
		name := cmd.Shell
		if name == "" {
			name = strings.Join(cmd.Args, " ")
		}
		ran = append(ran, name)
		fmt.Fprintf(cmd.Stdout, "the password is %s or %s\n", l.Env["HOP3_ADMIN_PASSWORD"], l.Env["HOP3_PROBE_PASSWORD"])
		if fail[name] {
			return 1, nil
		}
		return 0, nil
	}
	return &ran
}

func (w *world) account(t *testing.T) hop3.App {
	t.Helper()
	app, err := w.Store.App(t.Context(), "blog")
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func TestAccountsAreMadeOnce(t *testing.T) {
	w := newWorld(t)
	if _, err := w.declaring("blog", "one", withAccounts); hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "OPERATOR_EMAIL") {
		t.Fatalf("without the operator's address: %v", err)
	}
	w.Settings.OperatorEmail = "ops@example.com"
	fail := map[string]bool{}
	ran := w.commands(fail)

	// A deploy that fails makes no account, and keeps the password for the next.
	w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "boom")
	if _, err := w.declaring("blog", "one", withAccounts); err == nil || len(*ran) > 0 {
		t.Errorf("after a deploy that failed: %v, %v", err, *ran)
	}
	w.prober.fail = nil
	password := w.account(t).Admin.Password
	if len(password) != 24 || strings.Contains(w.out.String(), password) {
		t.Errorf("the password %q was shown, or is none", password)
	}

	fail["make admin"], fail["make probe"] = true, true
	r, err := w.declaring("blog", "two", withAccounts)
	if err != nil {
		t.Fatal(err)
	}
	want := hop3.Env{"HOP3_ADMIN_USER": "root", "HOP3_ADMIN_EMAIL": "ops@example.com", "HOP3_ADMIN_PASSWORD": password, "HOP3_PROBE_USER": "hop3probe", "LOGIN": "root", "HOP3_PROBE_CREATED": ""}
	for key, value := range want {
		if r.Env[key] != value {
			t.Errorf("%s is %q, want %q", key, r.Env[key], value)
		}
	}
	for _, text := range []string{"that makes the admin's account ended with exit status 1. The next deploy tries it again", "the password is *** or ***"} {
		if !strings.Contains(w.out.String(), text) {
			t.Errorf("nobody was told %q:\n%s", text, w.out)
		}
	}
	if strings.Contains(w.out.String(), password) {
		t.Error("the login of an account that was not made was shown")
	}

	clear(fail)
	*ran = nil
	if r, err = w.declaring("blog", "three", withAccounts); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(*ran, []string{"make admin", "make probe"}) || strings.Count(w.out.String(), "Password: "+password) != 1 {
		t.Errorf("it ran %v and told\n%s", *ran, w.out)
	}
	log, err := os.ReadFile(filepath.Join(w.logDir("blog"), deployLogName(r.Number)))
	if err != nil || strings.Contains(string(log), password) {
		t.Errorf("the deploy's log has the password, or is not there (%v):\n%s", err, log)
	}
	*ran = nil
	if r, err = w.declaring("blog", "four", withAccounts); err != nil {
		t.Fatal(err)
	}
	if len(*ran) > 0 || strings.Count(w.out.String(), "Password: "+password) != 1 || r.Env["HOP3_PROBE_CREATED"] != "true" {
		t.Errorf("again: it ran %v, HOP3_PROBE_CREATED is %q", *ran, r.Env["HOP3_PROBE_CREATED"])
	}
	if a, err := w.Credentials(t.Context(), alice, "blog"); err != nil || a.Password != password || !a.Shown {
		t.Errorf("the credentials are %+v, %v", a, err)
	}
	if vars, err := w.Env(t.Context(), alice, "blog"); err != nil || vars["HOP3_ADMIN_PASSWORD"] != "" {
		t.Errorf("the password is among the app's variables: %v, %v", vars, err)
	}
}

func TestSmokeTest(t *testing.T) {
	w := newWorld(t)
	var launched hop3.Launch
	exit, say := 0, "all well"
	var fail error
	w.runtime.run = func(_ context.Context, l hop3.Launch, cmd hop3.OneOff) (int, error) {
		launched = l
		if got := strings.Join(cmd.Args[3:], " "); got != "check.py blog.localhost 443" || cmd.Args[0] != "python3" {
			t.Errorf("it runs %s", got)
		}
		fmt.Fprintln(cmd.Stdout, say)
		return exit, fail
	}
	deploy := func(version string) {
		t.Helper()
		req := w.request(version)
		req.Source = withFile{fakeSource{version}, "check.py", "print()"}
		if _, err := w.Deploy(t.Context(), alice, req); err != nil {
			t.Fatal(err)
		}
		w.settled()
	}
	deploy("one")
	if !strings.Contains(w.out.String(), "all well\n       Smoke test passed") || launched.Env["HOP3_CHECK_URL"] != "http://blog.localhost" {
		t.Errorf("%s is asked, and told is\n%s", launched.Env["HOP3_CHECK_URL"], w.out)
	}
	exit = 1
	deploy("two") // stands nevertheless
	if !strings.Contains(w.out.String(), "Warning: Smoke test FAILED. The release serves nevertheless") {
		t.Errorf("told is\n%s", w.out)
	}
	w.serves(2)
	for text, want := range map[string]string{
		"AssertionError": "Smoke test FAILED",
	} {
		say = text
		if c, err := w.CheckApp(t.Context(), alice, "blog"); err != nil || c.Passed || c.Summary() != want || !slices.Equal(c.Output, []string{text}) {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
	fail = errors.New("no python3")
	if c, err := w.CheckApp(t.Context(), alice, "blog"); err != nil || c.Passed || !strings.Contains(c.Summary(), "FAILED: ") {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := w.declaring("shop", "one", ""); err != nil {
		t.Fatal(err)
	}
	if c, err := w.CheckApp(t.Context(), alice, "shop"); err != nil || c.Ran || c.Passed {
		t.Errorf("without a check: %+v, %v", c, err)
	}
}
