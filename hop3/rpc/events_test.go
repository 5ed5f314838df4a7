package rpc_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/platform"
)

// reads are the commands that change nothing, and those whose events another
// test looks at, with the reason.
var reads = map[string]string{
	"app build-logs": "reads", "app check": "asks the app", "app list": "reads", "app logs": "reads", "app ping": "asks the app", "app status": "reads",
	"auth whoami": "reads", "backup list": "reads", "backup show": "reads", "canary status": "reads", "cert list": "reads", "config": "answers a text", "config check": "reads", "config migrate procfile": "answers a text",
	"config schema": "reads", "cron list": "reads", "cron logs": "reads", "diff": "reads", "domain list": "reads", "env live": "reads",
	"env show": "reads; with --show-secrets it is app.revealed, as env get is", "events": "reads", "events kinds": "reads", "events verify": "reads", "git setup": "answers a text",
	"help": "reads", "help commands": "reads", "http show": "reads", "key list": "reads", "notify list": "reads", "plugin list": "reads", "port list": "reads", "preview list": "reads",
	"proxy check": "asks", "proxy show": "reads", "ps": "reads", "releases": "reads", "releases show": "reads", "route list": "reads", "network list": "reads", "network show": "reads", "system logs": "reads", "system status": "reads",
	"waf bans list": "reads", "waf logs": "reads", "waf status": "reads", "waf reconcile-bans": "repeats what is stored", "system info": "reads", "user list": "reads",
	"user show": "reads", "version": "reads", "webhook log": "reads", "webhook show": "reads",

	"addon list": "reads", "addon types": "reads", "addon show": "reads", "addon status": "asks the addon", "addon exists": "reads",
	"addon create": "needs a service: TestAddons_LeaveEvents of platform", "addon destroy": "the same", "addon attach": "the same", "addon detach": "the same",
	"addon promote": "the same", "addon rotate": "the same", "addon endpoint": "the same",
	"app debug": "reads", "app sbom": "reads", "plan": "only says what deploy would do", "app tunnel": "only at a console: the story plan of tests", "addon tunnel": "the same, as addon endpoint",
	"addon expose": "the same: the story of addons in tests", "addon unexpose": "the same",

	"app access": "reads", "team list": "reads", "team show": "reads", "token list": "reads", "token show": "reads", "top": "reads", "why": "reads",

	"auth token": "only by SSH: TestAKeyAndALinkLeaveEvents", "auth redeem": "needs a link: the same", "user unlink": "needs an identity: TestSignOnTakesNoAccountOver", "auth web begin": "changes nothing that is stored", "auth web wait": "needs somebody at a browser: TestACommandLineIsLetIn",
	"auth password":     "needs a login: TestChangingOnesPassword",
	"auth totp confirm": "needs a telephone: as auth totp enable",
	"canary abort":      "needs a release that is tried out: TestACanaryLeavesAnEvent of platform", "canary promote": "the same",
	"deploy cancel": "needs a deploy under way: TestACanceledDeployLeavesEvents of platform",
	"proxy set":     "needs two proxies: the story of proxies in tests",
	"app shell":     "only at a console: see below",
}

// Who logs in without a password leaves an event, too.
func TestAKeyAndALinkLeaveEvents(t *testing.T) {
	w := newWorld(t)
	before := w.lastEvent()
	_, err := w.platform.OwnToken(t.Context(), platform.Actor{Username: "alice", Source: "192.0.2.1"})
	must(t, err)
	if kinds := w.kinds(t, before); !slices.Contains(kinds, hop3.EventLoginSucceeded) {
		t.Errorf("a key leaves %v", kinds)
	}
	link, err := w.platform.MagicLink(t.Context(), platform.Actor{Username: "host", Admin: true}, "alice")
	must(t, err)
	before = w.lastEvent()
	w.post("", request("auth", "redeem", link))
	if kinds := w.kinds(t, before); !slices.Contains(kinds, hop3.EventLoginSucceeded) {
		t.Errorf("a link leaves %v", kinds)
	}
}

// Every command that changes something leaves an event with who did it, and
// from where.
func TestEveryChangeLeavesAnEvent(t *testing.T) {
	w := newWorld(t)
	dir := w.project("hello")
	key := filepath.Join(dir, "key.pub")
	must(t, os.WriteFile(key, []byte(publicKey+"\n"), 0o644))
	chain, private := certificate(t, "blog.localhost")
	must(t, os.WriteFile(filepath.Join(dir, "cert.pem"), chain, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "key.pem"), private, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "hop3.toml"), []byte("[metadata]\nid = \"blog\"\n[[cron]]\nname = \"night\"\nschedule = \"0 3 * * *\"\ncommand = \"true\"\n"), 0o600))
	host := platform.Actor{Username: "host", Admin: true}

	seen := map[string]bool{}
	for _, step := range []struct {
		args string
		kind hop3.EventKind
		code int
	}{
		{"app create --app other", hop3.EventAppCreated, 0},
		{"app branch --app other trunk", hop3.EventConfigChanged, 0},
		{"app source --app other https://ada:s3cretpassword@git.example.org/ada/blog.git", hop3.EventConfigChanged, 0},
		{"webhook create --app other", hop3.EventWebhookChanged, 0},
		{"webhook rotate --app other", hop3.EventWebhookChanged, 0},
		{"webhook remove --app other", hop3.EventWebhookChanged, 0},
		{"app fetch --app other", hop3.EventDeployFailed, 8}, // there is no git in this world
		{"preview on --app other", hop3.EventConfigChanged, 0},
		{"preview off --app other", hop3.EventConfigChanged, 0},
		{"env set --app other COLOUR=blue --force", hop3.EventConfigChanged, 0},
		{"http set --app other max-body=10M", hop3.EventConfigChanged, 0},
		{"app destroy --app other -y", hop3.EventAppDestroyed, 0},
		{"deploy --app blog", hop3.EventDeploySucceeded, 0},
		{"redeploy --app blog", "", 8}, // an upload: its source is not kept
		{"app upgrade --app blog --no-backup", "", 8},
		{"app restart --app blog", hop3.EventAppRestarted, 0},
		{"app run --app blog true", hop3.EventAppRan, 0},
		{"cron run --app blog night", hop3.EventCronRun, 0},
		{"env set --app blog SECRET_WORD=hunter2hunter2", hop3.EventConfigChanged, 0},
		{"env get --app blog SECRET_WORD", hop3.EventAppRevealed, 0},
		{"env unset --app blog SECRET_WORD", hop3.EventConfigChanged, 0},
		{"ps scale --app blog web=2", hop3.EventConfigChanged, 0},
		{"domain add --app blog one.localhost", hop3.EventConfigChanged, 0},
		{"domain set --app blog two.localhost", hop3.EventConfigChanged, 0},
		{"domain remove --app blog two.localhost", hop3.EventConfigChanged, 0},
		{"domain set --app blog two.localhost", hop3.EventConfigChanged, 0},
		{"domain clear --app blog", hop3.EventConfigChanged, 0},
		{"http set --app blog max-body=10M", hop3.EventConfigChanged, 0},
		{"http unset --app blog max-body", hop3.EventConfigChanged, 0},
		{"http basic-auth add --app blog ada s3cretpassword", hop3.EventConfigChanged, 0},
		{"http basic-auth remove --app blog ada", hop3.EventConfigChanged, 0},
		{"maintenance on --app blog", hop3.EventConfigChanged, 0},
		{"maintenance off --app blog", hop3.EventConfigChanged, 0},
		{"cert add --app blog cert.pem key.pem", hop3.EventCertificateAdded, 0},
		{"cert remove --app blog blog.localhost", hop3.EventCertificateRemoved, 0},
		{"cert renew", hop3.EventCertificateAsked, 0},
		{"rollback --app blog v1", hop3.EventReleaseSwitched, 0},
		{"app stop --app blog", hop3.EventAppStopped, 0},
		{"app start --app blog", hop3.EventAppStarted, 0},
		{"key add " + key, hop3.EventKeyAdded, 0},
		{"key remove SHA256:", hop3.EventKeyRemoved, 0},
		{"user add bob bob@example.org s3cretpassword", hop3.EventUserAdded, 0},
		{"user set-password bob s3cretpassword2", hop3.EventUserChanged, 0},
		{"user grant-admin bob", hop3.EventUserChanged, 0},
		{"user revoke-admin bob", hop3.EventUserChanged, 0},
		{"user disable bob", hop3.EventUserChanged, 0},
		{"user enable bob", hop3.EventUserChanged, 0},
		{"user generate-token bob", hop3.EventTokenIssued, 0},
		{"user remove bob -y", hop3.EventUserRemoved, 0},
		{"team create web", hop3.EventRightsChanged, 0},
		{"team add-member web alice --role viewer", hop3.EventRightsChanged, 0},
		{"app grant alice viewer --app blog", hop3.EventRightsChanged, 0},
		{"app revoke alice --app blog", hop3.EventRightsChanged, 0},
		{"app transfer web --app blog", hop3.EventRightsChanged, 0},
		{"app transfer default --app blog", hop3.EventRightsChanged, 0},
		{"team remove-member web alice", hop3.EventRightsChanged, 0},
		{"team remove web -y", hop3.EventRightsChanged, 0},
		{"user grant alice viewer", hop3.EventUserChanged, 0},
		{"user revoke alice", hop3.EventUserChanged, 0},
		{"token create ci", hop3.EventTokenIssued, 0},
		{"token revoke ci", hop3.EventTokenRevoked, 0},
		{"auth magic-link alice", hop3.EventTokenIssued, 0},
		{"auth totp enable", hop3.EventUserChanged, 0},
		{"auth totp disable", hop3.EventUserChanged, 0},
		{"notify add webhook https://example.org/s3cretpassword --name hook --secret s3cretpassword", hop3.EventNotifyAdded, 0},
		{"notify test hook", hop3.EventNotifyTested, 0},
		{"notify remove hook", hop3.EventNotifyRemoved, 0},
		{"network add office 192.0.2.0/24", hop3.EventServerChanged, 0},
		{"network remove office", hop3.EventServerChanged, 0},
		{"waf bans clear blog", hop3.EventConfigChanged, 0},
		{"system cleanup", hop3.EventServerChanged, 0},
		{"auth logout", hop3.EventLogout, 0},
	} {
		before := w.lastEvent()
		code, out, errs := w.hop3(dir, strings.Fields(step.args)...)
		if code != step.code {
			t.Errorf("hop3 %s: exit %d\n%s%s", step.args, code, out, errs)
			continue
		}
		seen[step.args] = true
		if step.kind != "" {
			w.event(t, before, step.kind, step.args)
		}
		if step.args == "auth logout" {
			token, err := w.platform.IssueToken(t.Context(), host, "root")
			must(t, err)
			w.admin = token
		}
	}
	// What needs more than a command line.
	before := w.lastEvent()
	w.post("", request("auth", "get-token", "root", password))
	w.event(t, before, hop3.EventLoginSucceeded, "auth get-token")
	seen["auth get-token"] = true
	before = w.lastEvent()
	w.post("", request("auth", "get-token", "nobody-s3cretpassword", "s3cretpassword"))
	eventually(t, "a failed login is an event", func() bool { return slices.Contains(w.kinds(t, before), hop3.EventLoginFailed) })

	must(t, w.platform.Store.CreateApp(t.Context(), hop3.App{Name: "blog--x", Preview: &hop3.Preview{Parent: "blog", Branch: "x"}}))
	must(t, os.Mkdir(filepath.Join(w.platform.Settings.Home, "apps", "blog--x"), 0o755))
	for _, step := range [][2]string{{"preview extend --app blog x", "config.changed"}, {"preview remove --app blog x", "app.destroyed"}} {
		before := w.lastEvent()
		if code, out, errs := w.hop3(dir, strings.Fields(step[0])...); code != 0 {
			t.Errorf("hop3 %s: exit %d\n%s%s", step[0], code, out, errs)
			continue
		}
		seen[step[0]] = true
		w.event(t, before, hop3.EventKind(step[1]), step[0])
	}
	_, err := w.platform.Store.UpdateRelease(t.Context(), "blog", 2, func(r *hop3.Release) error {
		r.Status = hop3.ReleaseReady
		return nil
	})
	must(t, err)
	w.hop3(dir, "releases", "switch", "v2", "--app", "blog") // its outcome is of no matter
	seen["releases switch"] = true
	_, err = w.platform.Store.UpdateApp(t.Context(), "blog", func(a *hop3.App) error {
		a.Admin = &hop3.Account{Username: "ada", Password: "s3cretpassword"}
		return nil
	})
	must(t, err)
	before = w.lastEvent()
	w.hop3(dir, "app", "credentials", "--app", "blog")
	w.event(t, before, hop3.EventAppRevealed, "app credentials")
	seen["app credentials"] = true
	before = w.lastEvent()
	var out, errs bytes.Buffer // each is written to by a goroutine of its own
	_, err = w.handler.Commands.Attach(t.Context(), command.Request{Args: []string{"app", "shell", "--app", "blog"}, User: &hop3.User{Username: "root", Admin: true}, Address: "127.0.0.1"},
		command.Console{Stdin: strings.NewReader("exit\n"), Stdout: &out, Stderr: &errs})
	must(t, err)
	w.event(t, before, hop3.EventAppRan, "app shell")

	saved, err := w.platform.CreateBackup(t.Context(), host, platform.BackupRequest{App: "blog"})
	must(t, err)
	elsewhere := filepath.Join(t.TempDir(), saved.ID)
	must(t, os.CopyFS(elsewhere, os.DirFS(saved.Dir)))
	for _, step := range []struct {
		args string
		kind hop3.EventKind
	}{
		{"backup create --app blog", hop3.EventBackupCreated},
		{"backup verify " + saved.ID, hop3.EventBackupVerified},
		{"backup restore --target-app copy " + saved.ID, hop3.EventBackupRestored},
		{"backup destroy -y " + saved.ID, hop3.EventBackupDestroyed},
		{"backup register " + elsewhere, hop3.EventBackupCreated},
		{"backup platform", hop3.EventBackupCreated},
	} {
		before := w.lastEvent()
		if code, out, errs := w.hop3(dir, strings.Fields(step.args)...); code != 0 {
			t.Errorf("hop3 %s: exit %d\n%s%s", step.args, code, out, errs)
			continue
		}
		seen[step.args] = true
		w.event(t, before, step.kind, step.args)
	}

	// All of the table was walked.
	for _, name := range w.handler.Commands.Names() {
		done := slices.ContainsFunc(slices.Collect(maps.Keys(seen)), func(line string) bool { return line == name || strings.HasPrefix(line, name+" ") })
		if !done && reads[name] == "" {
			t.Errorf("the command %q leaves no event that this test knows of, and no reason is given", name)
		}
	}
	// And nobody's secret is told.
	events, err := w.platform.Events(t.Context(), host, hop3.EventQuery{Limit: 10_000})
	must(t, err)
	for _, e := range events {
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, "s3cretpassword") || strings.Contains(text, "hunter2") {
			t.Errorf("a secret is in %s", text)
		}
	}
	if _, err := w.platform.VerifyEvents(t.Context(), host); err != nil {
		t.Error(err)
	}
}

func (w *world) lastEvent() int64 {
	w.t.Helper()
	events, err := w.platform.Store.Events(w.t.Context(), hop3.EventQuery{Limit: 1})
	must(w.t, err)
	if len(events) == 0 {
		return 0
	}
	return events[0].ID
}

func (w *world) kinds(t *testing.T, after int64) (kinds []hop3.EventKind) {
	t.Helper()
	events, err := w.platform.Store.Events(t.Context(), hop3.EventQuery{After: max(after, 1)})
	must(t, err)
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// event waits for an event of root's, from this machine.
func (w *world) event(t *testing.T, after int64, kind hop3.EventKind, of string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		more := w.platform.Store.Appended()
		events, err := w.platform.Store.Events(t.Context(), hop3.EventQuery{After: max(after, 1)})
		must(t, err)
		for _, e := range events {
			if e.Kind == kind && e.Actor == "root" && e.Source == "127.0.0.1" {
				return
			}
		}
		select {
		case <-more:
		case <-deadline:
			t.Errorf("hop3 %s left %+v, want one of kind %s by root", of, events, kind)
			return
		}
	}
}

// certificate makes one for a host.
func certificate(t *testing.T, host string) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
