package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

func TestHTTP_ByCommand(t *testing.T) {
	w := newWorld(t)
	w.deployed("1")
	number, err := w.SetHTTP(t.Context(), alice, "blog", hop3.HTTPSettings{"max-body": "1M", "allow-http": "true"}, nil, w.out)
	if err != nil || number != 2 {
		t.Fatalf("v%d, %v", number, err)
	}
	w.serves(2)
	if route := w.proxy.route("blog"); route.Policy == nil || route.Policy.MaxBody != 1<<20 || !route.AllowHTTP || route.Dir == "" {
		t.Errorf("%+v", route)
	}
	if number, err := w.SetHTTP(t.Context(), alice, "blog", hop3.HTTPSettings{"max-body": "1M"}, nil, w.out); number != 0 || err != nil {
		t.Errorf("what changes nothing: v%d, %v", number, err)
	}
	for _, c := range []struct {
		set   hop3.HTTPSettings
		unset []string
		code  hop3.Code
	}{
		{hop3.HTTPSettings{"max-body": "x"}, nil, hop3.CodeInvalid},
		{hop3.HTTPSettings{"route./a": "nosuch"}, nil, hop3.CodeNotFound},
		{hop3.HTTPSettings{"route./a": "blog"}, nil, hop3.CodeInvalid},
		{nil, []string{"sticky"}, hop3.CodeNotFound},
	} {
		if _, err := w.SetHTTP(t.Context(), alice, "blog", c.set, c.unset, w.out); hop3.CodeOf(err) != c.code {
			t.Errorf("%+v: %v", c, err)
		}
	}
	w.deployed("2") // stays over deploys, and the server's end
	w.reboot()
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if route := w.proxy.route("blog"); route.Release != 3 || route.Policy == nil || route.Policy.MaxBody != 1<<20 {
		t.Errorf("%+v", route)
	}
	if _, err := w.SetHTTP(t.Context(), alice, "blog", nil, []string{"max-body", "allow-http"}, w.out); err != nil {
		t.Fatal(err)
	}
	if route := w.proxy.route("blog"); route.Policy != nil || route.AllowHTTP {
		t.Errorf("%+v", route)
	}
	if _, err := w.Rollback(t.Context(), alice, "blog", 3, w.out); err != nil {
		t.Fatal(err)
	}
	if s, err := w.HTTP(t.Context(), alice, "blog"); err != nil || s.Layers.Set["max-body"] != "1M" {
		t.Errorf("after the rollback: %+v, %v", s, err)
	}
}

// When the new release does not come up, the settings are as before.
// routedSource is an app whose manifest routes paths to other apps.
type routedSource struct {
	fakeSource
	routes string
}

func (s routedSource) CheckOut(ctx context.Context, dir string) error {
	return errors.Join(s.fakeSource.CheckOut(ctx, dir), os.WriteFile(filepath.Join(dir, "hop3.toml"), []byte(s.routes), 0o644))
}

// Who deploys cannot have their visitors served by an app that they may not see.
func TestHTTP_RoutesOfAManifest(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	root := Actor{Username: "root", Admin: true}
	if err := w.CreateTeam(ctx, root, "theirs"); err != nil {
		t.Fatal(err)
	}
	for _, app := range []string{"ours", "secret"} {
		if _, err := w.CreateApp(ctx, root, app); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Store.TransferApp(ctx, "secret", "theirs"); err != nil {
		t.Fatal(err)
	}
	deploy := func(who Actor, routes ...string) error {
		var text strings.Builder
		for i, app := range routes {
			fmt.Fprintf(&text, "[[http.route]]\npath = \"/r%d\"\napp = %q\n", i, app)
		}
		req := w.request("one")
		req.Source = routedSource{fakeSource{"one"}, text.String()}
		_, err := w.Deploy(ctx, who, req)
		return err
	}
	if err := deploy(alice, "ours"); err != nil {
		t.Fatal(err)
	}
	hidden, missing := deploy(alice, "ours", "secret"), deploy(alice, "ours", "nosuch")
	if hop3.CodeOf(hidden) != hop3.CodeNotFound || strings.ReplaceAll(hop3.MessageOf(hidden), "secret", "nosuch") != hop3.MessageOf(missing) {
		t.Errorf("one that alice may not see: %v; one that is not there: %v", hidden, missing)
	}
	if err := deploy(alice, "blog", "secret", "nosuch"); err == nil || !strings.Contains(err.Error(), "itself") || !strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("three mistakes: %v", err)
	}
	w.serves(1)
	if err := deploy(root, "ours", "secret"); err != nil {
		t.Fatal(err)
	}
	// What was allowed once goes on, also for who is only told by a git host.
	for _, who := range []Actor{alice, {Username: "webhook", app: "blog"}} {
		if err := deploy(who, "ours", "secret"); err != nil {
			t.Errorf("%s: %v", who.Username, err)
		}
		if err := deploy(who, "secret", "ours"); who.app != "" && err == nil {
			t.Errorf("%s makes routes", who.Username)
		}
	}
}

func TestHTTP_ThatDoesNotComeUp(t *testing.T) {
	w := newWorld(t)
	w.deployed("1")
	w.prober.fail = hop3.Errorf(hop3.CodeDeploy, "not ready")
	if _, err := w.SetHTTP(t.Context(), alice, "blog", hop3.HTTPSettings{"sticky": "on"}, nil, w.out); err == nil {
		t.Fatal("no error")
	}
	w.serves(1)
	if s, err := w.HTTP(t.Context(), alice, "blog"); err != nil || len(s.Layers.All()) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestHTTP_OfAStoppedApp(t *testing.T) {
	w := newWorld(t)
	w.deployed("1")
	if err := w.StopApp(t.Context(), alice, "blog", w.out); err != nil {
		t.Fatal(err)
	}
	if number, err := w.SetHTTP(t.Context(), alice, "blog", hop3.HTTPSettings{"sticky": "on"}, nil, w.out); number != 0 || err != nil {
		t.Fatalf("v%d, %v", number, err)
	}
	if route := w.proxy.route("blog"); route.Status != hop3.RouteStopped || route.Policy == nil || !route.Policy.Sticky {
		t.Errorf("%+v", route)
	}
}

func TestHTTP_ByVariables(t *testing.T) {
	w := newWorld(t)
	w.deployed("1")
	set := hop3.Env{"NGINX_HTTPS_ONLY": "false", "NGINX_CACHE_SIZE": "2"}
	if _, err := w.SetEnv(t.Context(), alice, "blog", set, nil, w.out); err != nil {
		t.Fatal(err)
	}
	if route := w.proxy.route("blog"); !route.AllowHTTP || route.Policy != nil {
		t.Errorf("%+v", route)
	}
	if text := strings.Join(w.out.lines, "\n"); !strings.Contains(text, "NGINX_CACHE_SIZE has no effect") || strings.Contains(text, "NGINX_HTTPS_ONLY") {
		t.Error(text)
	}
	if _, err := w.SetHTTP(t.Context(), alice, "blog", hop3.HTTPSettings{"allow-http": "false"}, nil, w.out); err != nil {
		t.Fatal(err)
	}
	if w.proxy.route("blog").AllowHTTP {
		t.Error("a variable counts more than a command")
	}
}

func TestMaintenance(t *testing.T) {
	w := newWorld(t)
	w.deployed("1")
	m := &hop3.Maintenance{Message: "soon"}
	if err := w.SetMaintenance(t.Context(), alice, "blog", m); err != nil {
		t.Fatal(err)
	}
	w.deployed("2")
	w.reboot()
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if route := w.proxy.route("blog"); route.Release != 2 || route.Policy == nil || route.Policy.Maintenance == nil || route.Policy.Maintenance.Message != "soon" {
		t.Errorf("%+v", route)
	}
	if err := w.SetMaintenance(t.Context(), alice, "blog", nil); err != nil {
		t.Fatal(err)
	}
	w.serves(2)
	if route := w.proxy.route("blog"); route.Policy != nil {
		t.Errorf("%+v", route)
	}
	if err := w.SetMaintenance(t.Context(), alice, "blog", &hop3.Maintenance{Message: "a\nb"}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Error(err)
	}
}

// judgingProxy says how a canary fares as the test wants it to.
type judgingProxy struct {
	*fakeProxy
	mu      sync.Mutex
	verdict hop3.Verdict
}

func (j *judgingProxy) Verdict(hop3.ReleaseID) hop3.Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.verdict
}

// tried deploys a release that is tried out, waits until it is, and returns
// what ends the deploy.
func tried(t *testing.T, w *world, verdict hop3.Verdict, span string) (*judgingProxy, chan error) {
	t.Helper()
	judge := &judgingProxy{fakeProxy: w.proxy, verdict: verdict}
	w.Proxy = judge
	w.deployed("1")
	if _, err := w.SetHTTP(t.Context(), alice, "blog", hop3.HTTPSettings{"canary": "10% for " + span + " errors 5% p99 100ms"}, nil, w.out); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := w.Deploy(t.Context(), alice, w.request("2"))
		done <- err
	}()
	deadline, tick := time.After(10*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for w.proxy.route("blog").Canary == nil {
		select {
		case <-tick.C:
		case err := <-done:
			t.Fatalf("nothing was tried out: %v", err)
		case <-deadline:
			t.Fatal("nothing is tried out")
		}
	}
	return judge, done
}

// A flag has one release tried out, and only that one.
func TestCanaryByAFlag(t *testing.T) {
	for text, want := range map[string]hop3.Canary{
		"":                     {Percent: 10, For: 5 * time.Minute, MaxErrors: 5},
		"20% for 1h errors 1%": {Percent: 20, For: time.Hour, MaxErrors: 1},
	} {
		w := newWorld(t)
		w.Proxy = &judgingProxy{fakeProxy: w.proxy}
		w.deployed("1")
		req := w.request("2")
		var err error
		if req.Canary, err = CanaryFlag(text); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := w.Deploy(t.Context(), alice, req)
			done <- err
		}()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		var s CanaryStatus
		for s.Release == 0 {
			select {
			case <-tick.C:
				s, _ = w.Canary(t.Context(), alice, "blog") // none yet
			case err := <-done:
				t.Fatalf("nothing was tried out: %v", err)
			}
		}
		if s.Canary != want || w.proxy.route("blog").Release != 1 {
			t.Errorf("%q tries out %+v", text, s.Canary)
		}
		if err := w.DecideCanary(t.Context(), alice, "blog", true); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		w.serves(2)
		if _, err := w.Deploy(t.Context(), alice, w.request("3")); err != nil {
			t.Fatal(err)
		}
		w.serves(3)
	}
	if _, err := CanaryFlag("some"); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("%v", err)
	}
}

func TestCanary(t *testing.T) {
	for name, c := range map[string]struct {
		verdict hop3.Verdict
		span    string
		decide  func(*world) error
		live    int
		why     string
	}{
		"does well":         {verdict: hop3.Verdict{Requests: 100, Errors: 5, P99: 90 * time.Millisecond}, span: "1s", live: 3},
		"nobody came":       {span: "1s", live: 3},
		"errors":            {verdict: hop3.Verdict{Requests: 100, Errors: 6}, span: "1h", live: 2, why: "6% errors of 100 requests"},
		"slow":              {verdict: hop3.Verdict{Requests: 100, P99: time.Second}, span: "1h", live: 2, why: "must begin within 100ms"},
		"few, and all fail": {verdict: hop3.Verdict{Requests: 3, Errors: 3}, span: "1s", live: 2, why: "100% errors of 3"},
		"promoted":          {span: "1h", live: 3, decide: func(w *world) error { return w.DecideCanary(t.Context(), alice, "blog", true) }},
		"aborted":           {span: "1h", live: 2, why: "alice took the canary back", decide: func(w *world) error { return w.DecideCanary(t.Context(), alice, "blog", false) }},
		"canceled": {span: "1h", live: 2, why: "canceled", decide: func(w *world) error {
			_, err := w.CancelDeploy(t.Context(), alice, "blog")
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, done := tried(t, w, c.verdict, c.span)
			route := w.proxy.route("blog")
			if route.Release != 2 || route.Canary.Release != 3 || route.Canary.Percent != 10 || len(route.Canary.Upstreams) != 1 || route.Policy == nil {
				t.Errorf("%+v", route)
			}
			if c.decide != nil {
				if s, err := w.Canary(t.Context(), alice, "blog"); err != nil || s.Release != 3 || s.Live != 2 {
					t.Errorf("%+v, %v", s, err)
				}
				if err := c.decide(w); err != nil {
					t.Fatal(err)
				}
			}
			err := <-done
			if (c.why == "") != (err == nil) {
				t.Errorf("the deploy ended with %v", err)
			}
			w.serves(c.live)
			if route := w.proxy.route("blog"); route.Canary != nil {
				t.Errorf("%+v", route)
			}
			if c.why != "" {
				r, err := w.Store.Release(t.Context(), "blog", 3)
				if err != nil || r.Status != hop3.ReleaseFailed || !strings.Contains(strings.ToLower(r.Error), c.why) {
					t.Errorf("%s %q, %v", r.Status, r.Error, err)
				}
			}
			if _, err := w.Canary(t.Context(), alice, "blog"); hop3.CodeOf(err) != hop3.CodeNotFound {
				t.Errorf("%v", err)
			}
		})
	}
}

// A server that ends takes the canary back: the next one finds the live
// release, and the reason.
func TestCanary_OverTheServersEnd(t *testing.T) {
	w := newWorld(t)
	old := w.Platform
	_, done := tried(t, w, hop3.Verdict{}, "1h")
	w.reboot()
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.serves(2)
	if got := w.status(3); got != hop3.ReleaseFailed {
		t.Errorf("v3 is %s", got)
	}
	old.Interrupt()
	<-done
}

func TestDeployLayers(t *testing.T) {
	w := newWorld(t)
	r := w.deployed("1")
	if !maps.Equal(r.HTTPLayers.All(), hop3.HTTPSettings{}) || r.HTTP != nil {
		t.Errorf("%+v, %+v", r.HTTPLayers, r.HTTP)
	}
}
