package platform

import (
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
)

const smtpPort = "[[ports]]\nnumber = 2525\nname = \"smtp in\"\n"

// declaring deploys an app with a hop3.toml.
func (w *world) declaring(app, version, text string) (hop3.Release, error) {
	w.t.Helper()
	req := w.request(version)
	req.App, req.Source = app, withFile{fakeSource{version}, "hop3.toml", text}
	r, err := w.Deploy(w.t.Context(), alice, req)
	w.settled()
	return r, err
}

func (w *world) claims() string {
	w.t.Helper()
	claims, err := w.Ports(w.t.Context(), alice)
	if err != nil {
		w.t.Fatal(err)
	}
	var words []string
	for _, c := range claims {
		words = append(words, c.Port.String()+" "+c.App)
	}
	return strings.Join(words, ", ")
}

func TestPortsThatNoAppCanHave(t *testing.T) {
	w := newWorld(t)
	w.Settings.ServerPorts, w.Settings.AppPorts = map[int]string{2222: "SSH_PORT"}, [2]int{20000, 29999}
	w.prober.held = map[int]string{3000: "the process postgres (pid 7)"}
	w.ServicePorts = func() map[int]string { return map[int]string{17001: "postgres"} }
	for text, want := range map[string]string{
		"number = 2222":                          "port 2222/tcp of [[ports]] is the server's own SSH_PORT",
		"number = 20000":                         "is in the range 20000 to 29999, from which this server takes $PORT",
		"number = 17001":                         "port 17001/tcp of [[ports]] is that of an addon",
		"number = 25":                            "is below 1024, where this machine's kernel lets only privileged programs listen",
		"number = 3000":                          "port 3000/tcp of the host, which hop3.toml asks for, is taken by the process postgres (pid 7)",
		"number = 4000\nsource = \"10.0.0.0/8\"": "is to be reached from 10.0.0.0/8 only, which is the firewall's to enforce",
	} {
		w.Settings.PortsStrict = true
		if _, err := w.declaring("blog", "one", "[[ports]]\n"+text+"\n"); hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
		if got := w.claims(); got != "" {
			t.Errorf("%s: %s is still claimed", text, got)
		}
	}
	w.Settings.PortsStrict = false
	if _, err := w.declaring("blog", "one", "[[ports]]\nnumber = 4000\nsource = \"10.0.0.0/8\"\n"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.out.String(), "ufw allow proto tcp from 10.0.0.0/8 to any port 4000") {
		t.Errorf("nobody was told:\n%s", w.out)
	}
}

// A port is one app's, from before its build to when it drops it.
func TestPortsAreClaimed(t *testing.T) {
	w := newWorld(t)
	r, err := w.declaring("blog", "one", smtpPort)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.launch(r).Env["PORT_SMTP_IN"]; got != "2525" {
		t.Errorf("PORT_SMTP_IN is %q", got)
	}
	_, err = w.declaring("shop", "one", smtpPort)
	if hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "Port 2525/tcp of the host already belongs to app 'blog'.") {
		t.Errorf("shop: %v", err)
	}
	w.prober.held = map[int]string{2525: "the app itself"}
	if _, err := w.declaring("blog", "two", smtpPort); err != nil {
		t.Errorf("the same port again: %v", err)
	}
	w.prober.held = nil

	// A deploy that fails changes no claim, whether it wanted more or less.
	for text, fail := range map[string]error{
		smtpPort + "[[ports]]\nnumber = 2526\n": hop3.Errorf(hop3.CodeDeploy, "boom"),
		"":                                      hop3.Errorf(hop3.CodeDeploy, "bang"),
	} {
		w.builder.fail = fail
		if _, err := w.declaring("blog", "three", text); err == nil {
			t.Error("it was deployed")
		}
		if got := w.claims(); got != "2525/tcp blog" {
			t.Errorf("after %v: %s", fail, got)
		}
	}
	w.builder.fail = nil
	if _, err := w.declaring("blog", "four", ""); err != nil {
		t.Fatal(err)
	}
	if got := w.claims(); got != "" {
		t.Errorf("after it was dropped: %s", got)
	}
	if _, err := w.declaring("shop", "two", smtpPort); err != nil {
		t.Errorf("shop: %v", err)
	}
	// Back to a release whose port is another app's by now.
	_, err = w.Rollback(t.Context(), alice, "blog", 2, w.out)
	if hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "belongs to app 'shop'") {
		t.Errorf("the rollback: %v", err)
	}
	if err := w.DestroyApp(t.Context(), alice, "shop", w.out); err != nil {
		t.Fatal(err)
	}
	if _, err = w.Rollback(t.Context(), alice, "blog", 2, w.out); err != nil {
		t.Errorf("the rollback: %v", err)
	}
	if got := w.claims(); got != "2525/tcp blog" {
		t.Errorf("after the rollback: %s", got)
	}
}

// Two releases that listen on the same port never run at once, and when the
// new one fails the old one comes back.
func TestReleasesWithTheSamePortTakeTurns(t *testing.T) {
	w := newWorld(t)
	if _, err := w.declaring("blog", "one", smtpPort); err != nil {
		t.Fatal(err)
	}
	old := hop3.ReleaseID{App: "blog", Number: 1}
	w.runtime.change = func(i *hop3.Instance) {
		if i.Release != 1 && w.runtime.running[old].ID == old {
			t.Errorf("release %d runs beside the old one", i.Release)
		}
	}
	w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "it does not answer")
	if _, err := w.declaring("blog", "two", smtpPort); err == nil || !strings.Contains(err.Error(), "it does not answer") {
		t.Errorf("got %v", err)
	}
	w.runtime.change = nil
	w.serves(1)
	w.prober.fail = nil
	w.proxy.fail = hop3.Errorf(hop3.CodeInternal, "no route")
	if _, err := w.declaring("blog", "three", smtpPort); err == nil {
		t.Error("it was deployed without a route")
	}
	w.serves(1)
	if _, err := w.declaring("blog", "four", smtpPort); err != nil {
		t.Fatal(err)
	}
	w.serves(4)
}

// A server that ends in a deploy leaves no claim of it behind.
func TestPortsAfterACrash(t *testing.T) {
	w := newWorld(t)
	if _, err := w.declaring("blog", "one", smtpPort); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.NewRelease(t.Context(), hop3.Release{App: "blog", Status: hop3.ReleaseBuilding, Build: 2}); err != nil {
		t.Fatal(err)
	}
	if err := w.Store.ClaimPorts(t.Context(), "blog", []hop3.Port{{Number: 2525, Protocol: "tcp"}, {Number: 2526, Protocol: "tcp"}}); err != nil {
		t.Fatal(err)
	}
	w.reboot()
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.claims(); got != "2525/tcp blog" {
		t.Errorf("after the crash: %s", got)
	}
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines, "\n")
}
