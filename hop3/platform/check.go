package platform

import (
	"context"
	_ "embed" // checks.py
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

const (
	// checkScript is an app's smoke test, a program in Python.
	checkScript = "check.py"
	// checkTimeout bounds it: it signs in and asks for a page or two.
	checkTimeout = 3 * time.Minute
)

// checkSupport is what a smoke test written for Hop3 in Python imports. It
// starts the program that is its first argument.
//
//go:embed checks.py
var checkSupport string

// needsBrowser is printed by a smoke test whose sign-in only a browser can do.
const needsBrowser = "SIGN-IN VERIFIED BY BROWSER"

// Check is what an app's smoke test came to.
type Check struct {
	Ran    bool // false: the app has none
	Passed bool
	// Handover says that it signed in as the admin, whose password may be
	// another one by now: the app has no account that is only for checks.
	Handover bool
	Browser  bool     // its sign-in needs a browser, and was not tried
	Output   []string // what it printed, without passwords
	Why      string   // why it did not pass, when its output does not say
}

// Summary is the check in one line.
func (c Check) Summary() string {
	switch {
	case !c.Ran:
		return "no " + checkScript + ": nothing was verified"
	case !c.Passed && c.Why != "":
		return "Smoke test FAILED: " + c.Why
	case !c.Passed:
		return "Smoke test FAILED"
	case c.Browser:
		return "Smoke test passed, but for the sign-in, which needs a browser"
	case c.Handover:
		return "Smoke test passed (verified the handover only: there is no [probe])"
	}
	return "Smoke test passed"
}

// CheckApp runs the smoke test of an app that runs.
func (p *Platform) CheckApp(ctx context.Context, who Actor, name string) (Check, error) {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return Check{}, err
	}
	unlock, app, live, err := p.lockLive(ctx, name)
	if err != nil {
		return Check{}, err
	}
	unlock() // it may take long, and changes nothing of ours
	if app.State != hop3.StateRunning {
		return Check{}, hop3.Errorf(hop3.CodeConflict, "App '%s' is %s, and so cannot be checked.", name, app.State)
	}
	leave, ok := p.tasks.enter()
	if !ok {
		return Check{}, hop3.Errorf(hop3.CodeUnavailable, "The server is shutting down. Try again in a moment.")
	}
	defer leave()
	ctx, done := p.interruptible(ctx)
	defer done()
	return p.check(ctx, live, app), nil
}

// checkAfterDeploy runs the smoke test of a release that has just begun to
// serve. That it fails is told, and is no reason to take the release back.
func (p *Platform) checkAfterDeploy(ctx context.Context, r hop3.Release, app hop3.App, out hop3.Output) {
	if !p.hasCheck(r) {
		return
	}
	say(out, "-----> Running the smoke test %s", checkScript)
	c := p.check(ctx, r, app)
	for _, line := range c.Output {
		say(out, "       %s", line)
	}
	if c.Passed {
		tell(out, 0, "green", "       %s", c.Summary())
	} else {
		tell(out, 0, "yellow", "       Warning: %s. The release serves nevertheless; `hop3 app check --app %s` runs it again.", c.Summary(), r.App)
	}
}

func (p *Platform) hasCheck(r hop3.Release) bool {
	src, err := p.Files.Open(p.releaseDir(r.App, r.Build))
	if err != nil {
		return false
	}
	info, err := fs.Stat(src, checkScript)
	return err == nil && info.Mode().IsRegular()
}

// check runs the smoke test of a release as one more of the app's own
// processes, with the app's environment and the address to ask.
func (p *Platform) check(ctx context.Context, r hop3.Release, app hop3.App) Check {
	if !p.hasCheck(r) {
		return Check{}
	}
	c := Check{Ran: true}
	l := p.launch(r)
	host, port := checkHost(r), p.Settings.HTTPSPort
	for _, h := range r.Hosts {
		if !hop3.LocalHost(h) && !strings.HasPrefix(h, "*.") {
			host = h
			break
		}
	}
	if port == 0 {
		port = p.Settings.HTTPPort
	}
	l.Env["HOP3_CHECK_URL"] = p.url(host)
	l.Env["HOP3_CHECK_HTTP_PORT"], l.Env["HOP3_CHECK_HTTPS_PORT"] = strconv.Itoa(p.Settings.HTTPPort), strconv.Itoa(p.Settings.HTTPSPort)
	if app.Probe == nil || !app.Probe.Created || l.Env[probePrefix+"PASSWORD"] == "" {
		// It must not sign in as an account that nobody has made.
		for _, key := range []string{"USER", "EMAIL", "PASSWORD", "CREATED"} {
			delete(l.Env, probePrefix+key)
		}
		c.Handover = app.Admin != nil
	} else {
		l.Env[probeCreated] = "true"
	}
	lines := masked(hop3.OutputFunc(func(l hop3.LogLine) { c.Output = append(c.Output, printable(l.Text)) }), app)
	w := &lineWriter{line: func(s string) { lines.Log(hop3.LogLine{Text: s}) }}
	ctx, cancel := context.WithTimeoutCause(ctx, checkTimeout, fmt.Errorf("it took longer than %s", checkTimeout))
	defer cancel()
	exit, err := p.Runtime.Run(ctx, l, hop3.OneOff{Args: []string{"python3", "-c", checkSupport, checkScript, host, strconv.Itoa(port)}, Name: "check", Stdout: w, Stderr: w})
	w.flush()
	switch {
	case ctx.Err() != nil:
		c.Why = context.Cause(ctx).Error()
	case err != nil:
		c.Why = hop3.MessageOf(err)
	}
	c.Passed = c.Why == "" && exit == 0
	c.Browser = slices.ContainsFunc(c.Output, func(line string) bool { return strings.HasPrefix(line, needsBrowser) })
	return c
}
