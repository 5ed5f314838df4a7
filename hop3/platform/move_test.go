package platform

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/disk"
)

// moveWorld is two servers. What connects them is replaced, because these tests
// have either of them end, and the connection break, at chosen moments; the
// real one is in tests/.
type moveWorld struct {
	from, to *backupWorld
	secret   string
	fail     map[string]error // what a call of this name says instead of being made
	lose     map[string]bool  // calls that are made, and whose answers get lost
	between  func()           // after the first copy
	dead     bool             // the server that the app goes to has ended
}

func newMoveWorld(t *testing.T) *moveWorld {
	m := &moveWorld{from: newBackupWorld(t), to: newBackupWorld(t), fail: map[string]error{}, lose: map[string]bool{}}
	m.connect()
	m.from.filled()
	m.from.put("goes", "blog", "data", "goes")
	m.from.put("goes", "blog", "data", "turns")
	secret, err := m.to.ReceiveApp(t.Context(), alice, "blog")
	m.from.must(err)
	m.secret = secret
	m.between = m.write
	return m
}

func (m *moveWorld) connect() {
	m.from.Servers, m.from.Relays = m, relays{}
	m.to.Relays = relays{}
}

// write is what the app writes while it is copied.
func (m *moveWorld) write() {
	m.from.put("later", "blog", "data", "file")
	m.from.put("later", "blog", "volumes", "up", "new", "file")
	m.from.must(os.RemoveAll(filepath.Join(m.from.home, "apps", "blog", "data", "goes")))
	m.from.must(os.Remove(filepath.Join(m.from.home, "apps", "blog", "data", "turns")))
	m.from.put("a directory now", "blog", "data", "turns", "file")
	m.from.addons.holds["db"] = "later"
}

func (m *moveWorld) move() error {
	_, err := m.from.MoveApp(m.from.t.Context(), alice, MoveRequest{App: "blog", Server: "https://to.example", Secret: m.secret, Out: m.from.out})
	return err
}

// written is what the app has then.
const written = "one data:later volume:first git:first COLOR=red addons:1:later"

// is returns where the app runs and is routed to, and fails unless that is one
// server, which has all of it.
func (m *moveWorld) is(when, want string) string {
	t := m.from.t
	t.Helper()
	runs := func(w *backupWorld) bool {
		w.settled()
		app, err := w.Store.App(t.Context(), "blog")
		route := w.proxy.route("blog")
		up := err == nil && app.State == hop3.StateRunning && route.Release == app.Live && len(route.Upstreams) > 0
		processes := false
		for id := range w.runtime.running {
			processes = processes || id.App == "blog"
		}
		if up != processes {
			t.Errorf("%s: it is up %v, and its processes run %v", when, up, processes)
		}
		return up
	}
	here, there := runs(m.from), runs(m.to)
	switch {
	case here == there:
		t.Errorf("%s: it runs here %v and there %v", when, here, there)
	case here:
		if got := m.from.has("blog"); got != want {
			t.Errorf("%s: here it has %s", when, got)
		}
		if addons, err := m.to.Store.Addons(t.Context()); err != nil || len(addons) > 0 {
			t.Errorf("%s: there are the addons %v, %v", when, addons, err)
		}
		if _, err := m.to.Store.App(t.Context(), "blog"); hop3.CodeOf(err) != hop3.CodeNotFound {
			t.Errorf("%s: something of it is there: %v", when, err)
		}
	default:
		if got := m.to.has("blog"); got != want {
			t.Errorf("%s: there it has %s", when, got)
		}
		if route := m.from.proxy.route("blog"); !slices.Equal(route.Upstreams, []string{"relay to https://to.example"}) {
			t.Errorf("%s: its requests go to %v", when, route.Upstreams)
		}
	}
	for _, w := range []*backupWorld{m.from, m.to} {
		hidden, _ := filepath.Glob(filepath.Join(w.home, "apps", ".*"))
		moving, _ := filepath.Glob(filepath.Join(w.home, "backups", "moving", "*", ".*"))
		if len(hidden)+len(moving) > 0 {
			t.Errorf("%s: left are %v %v", when, hidden, moving)
		}
	}
	if here {
		return "here"
	}
	return "there"
}

func TestMove(t *testing.T) {
	t.Parallel()
	m := newMoveWorld(t)
	_, err := m.from.MoveApp(t.Context(), alice, MoveRequest{App: "blog", Server: "http://127.0.0.1:1", Secret: m.secret, Out: m.from.out})
	if hop3.CodeOf(err) != hop3.CodeForbidden {
		t.Errorf("what listens on this machine is everybody's to ask: %v", err)
	}
	m.from.must(m.move())
	if m.is("moved", written) != "there" {
		t.Error("it is where it was")
	}
	data := filepath.Join(m.to.home, "apps", "blog")
	for file, want := range map[string]string{"data/turns/file": "a directory now", "data/goes": "", "volumes/up/new/file": "later"} {
		if got, _ := os.ReadFile(filepath.Join(data, file)); string(got) != want {
			t.Errorf("%s has %q", file, got)
		}
	}
	for name, change := range map[string]func() error{
		"deploy": func() error { _, err := m.from.Deploy(t.Context(), alice, m.from.request("two")); return err },
		"start":  func() error { return m.from.StartApp(t.Context(), alice, "blog", m.from.out) },
		"env": func() error {
			_, err := m.from.SetEnv(t.Context(), alice, "blog", hop3.Env{"A": "b"}, nil, m.from.out)
			return err
		},
		"move": m.move,
	} {
		if err := change(); hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "has moved to https://to.example") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !m.to.Relayed(m.secret) || m.to.Relayed("other") || m.from.Relayed(m.secret) {
		t.Error("who relays is not known right")
	}
	m.from.start()
	m.connect()
	m.from.must(m.from.Reconcile(t.Context()))
	m.is("started again", written)
	m.from.must(m.from.DestroyApp(t.Context(), alice, "blog", m.from.out))
	if all, err := m.from.Store.Moves(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("moves are left: %v, %v", all, err)
	}
	if n := m.from.events(hop3.EventMoveDone) + m.to.events(hop3.EventMoveDone); n != 2 {
		t.Errorf("%d events say so", n)
	}
}

// Whatever fails before the other server has the app, it is here.
func TestMove_WhatFailsLeavesItHere(t *testing.T) {
	no := hop3.Errorf(hop3.CodeUnavailable, "the network says no")
	for name, fail := range map[string]func(*moveWorld){
		"the offer":             func(m *moveWorld) { m.fail["offer"] = no },
		"a file":                func(m *moveWorld) { m.fail["send"] = no },
		"the build":             func(m *moveWorld) { m.to.builder.fail = hop3.Errorf(hop3.CodeDeploy, "no") },
		"the start":             func(m *moveWorld) { m.to.prober.fail = hop3.Errorf(hop3.CodeDeploy, "no") },
		"a dump":                func(m *moveWorld) { m.from.addons.fail["dump"] = no },
		"a dump, the last time": func(m *moveWorld) { m.between = func() { m.from.addons.fail["dump"] = no } },
		"a load":                func(m *moveWorld) { m.to.addons.fail["restore"] = no },
		"a load, the last time": func(m *moveWorld) { m.between = func() { m.to.addons.fail["restore"] = no } },
		"the name":              func(m *moveWorld) { _, err := m.to.CreateApp(m.to.t.Context(), alice, "blog"); m.to.must(err) },
		"the secret":            func(m *moveWorld) { m.secret = "hop3move_other" },
		"a cancel": func(m *moveWorld) {
			m.between = func() { m.from.must(m.from.CancelMove(m.from.t.Context(), alice, "blog")) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMoveWorld(t)
			fail(m)
			err := m.move()
			if err == nil {
				t.Fatal("it moves")
			}
			if name == "the name" {
				m.from.serves(m.from.proxy.route("blog").Release)
				return
			}
			want := whole
			if name == "the start" {
				want = written
			}
			if got := m.is(name+": "+err.Error(), want); got != "here" {
				t.Error("it is gone")
			}
			if all, err := m.from.Store.Moves(t.Context()); err != nil || len(all) > 0 {
				t.Errorf("moves are left: %v, %v", all, err)
			}
		})
	}
}

// An answer that gets lost decides nothing: who has the app says so.
func TestMove_ALostAnswerIsAskedFor(t *testing.T) {
	for _, call := range []string{"finish", "prepare", "offer"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			m := newMoveWorld(t)
			m.lose[call] = true
			err := m.move()
			want, where := whole, "here"
			if call == "finish" {
				want, where = written, "there"
			}
			if got := m.is(fmt.Sprintf("%s: %v", call, err), want); got != where || where == "there" && err != nil {
				t.Errorf("it is %s, %v", got, err)
			}
		})
	}
}

// At whatever change of its disk either server ends: afterwards the app runs on
// one of them, and has all that it had.
func TestMove_EitherServerEndsAtAnyStep(t *testing.T) {
	for _, which := range []string{"from", "to"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			here, there := 0, 0
			for at := 1; ; at++ {
				m := newMoveWorld(t)
				m.between = nil // what is written decides nothing here
				struck := m.endAt(which, at)
				switch m.is(fmt.Sprintf("%s ends at %d", which, at), whole) {
				case "here":
					here++
				case "there":
					there++
				}
				if !struck {
					break
				}
			}
			if here < 2 || there < 1 {
				t.Errorf("it was here %d and there %d times", here, there)
			}
		})
	}
}

// endAt moves the app and ends one of the servers at a change of its disk, and
// has all of what follows happen. It reports whether the change came.
func (m *moveWorld) endAt(which string, at int) (struck bool) {
	if which == "to" {
		k := &killer{Files: disk.Files{}, at: at}
		m.to.Files = k
		_ = m.move() // it says what it likes
		if struck = k.n >= at; struck && m.dead {
			m.revive()
		}
	} else {
		m.from.Files = &killer{Files: disk.Files{}, at: at}
		if struck = killed(func() { _ = m.move() }); struck {
			m.from.start()
			m.connect()
			m.from.must(m.from.Reconcile(m.from.t.Context()))
		}
	}
	m.from.settled()
	for _, is := range m.from.moves.all() {
		m.from.tendMove(m.from.t.Context(), is)
	}
	// What nobody ends there ends by itself.
	for _, is := range m.to.moves.all() {
		if is.State != hop3.MoveDone {
			is.Expires = m.to.now()
			m.to.must(m.to.saveMove(m.to.t.Context(), is))
			is.Expires = is.Expires.Add(-time.Second)
		}
		m.to.tendMove(m.to.t.Context(), is)
	}
	return struck
}

// Server implements OtherServers.
func (m *moveWorld) Server(_, _, secret string) (OtherServer, error) {
	return &link{m, secret}, nil
}

func (m *moveWorld) revive() {
	m.to.start()
	m.connect()
	m.dead = false
}

// link is the connection from the one server to the other.
type link struct {
	m      *moveWorld
	secret string
}

func (l *link) call(name string, f func(*Arrival) error) (err error) {
	if l.m.dead {
		l.m.revive()
	}
	defer func() {
		if p := recover(); p != nil {
			if p != errKilled { //nolint:errorlint // it is the value itself
				panic(p)
			}
			l.m.dead = true
			err = hop3.Errorf(hop3.CodeUnavailable, "the connection broke")
		}
	}()
	if err := l.m.fail[name]; err != nil {
		return err
	}
	a, err := l.m.to.Arrival(context.Background(), "blog", l.secret)
	if err == nil {
		err = f(a)
	}
	if l.m.lose[name] {
		return hop3.Errorf(hop3.CodeUnavailable, "the answer was lost")
	}
	return err
}

func (l *link) Offer(ctx context.Context, o hop3.MoveOffer) (answer hop3.MoveAnswer, err error) {
	err = l.call("offer", func(a *Arrival) (err error) {
		answer, err = a.Offer(ctx, o)
		return err
	})
	return answer, err
}

func (l *link) Send(ctx context.Context, id, name string, _ int64, open func() (io.ReadCloser, error)) error {
	return l.call("send", func(a *Arrival) error {
		f, err := open()
		if err != nil {
			return err
		}
		defer f.Close()
		return a.Receive(ctx, id, name, f)
	})
}

func (l *link) Prepare(ctx context.Context, id string, out hop3.Output) (answer hop3.MoveAnswer, err error) {
	err = l.call("prepare", func(a *Arrival) (err error) {
		answer, err = a.Prepare(ctx, id, out)
		return err
	})
	if err == nil && l.m.between != nil {
		l.m.between()
	}
	return answer, err
}

func (l *link) Finish(ctx context.Context, id string, out hop3.Output) (answer hop3.MoveAnswer, err error) {
	err = l.call("finish", func(a *Arrival) (err error) {
		answer, err = a.Finish(ctx, id, out)
		return err
	})
	return answer, err
}

func (l *link) Status(ctx context.Context) (answer hop3.MoveAnswer, err error) {
	err = l.call("status", func(a *Arrival) (err error) {
		answer, err = a.Status(ctx)
		return err
	})
	return answer, err
}

func (l *link) Abandon(ctx context.Context) error {
	return l.call("abandon", func(a *Arrival) error { return a.Abandon(ctx) })
}

// relays says where requests go.
type relays struct{}

func (relays) Open(_ string, t hop3.RelayTarget) (string, error) { return "relay to " + t.Server, nil }

func (relays) Close(string) {}

// The hold is not begun when it would be too long.
func TestMove_AHoldThatWouldBeTooLong(t *testing.T) {
	t.Parallel()
	m := newMoveWorld(t)
	m.between = nil
	_, err := m.from.MoveApp(t.Context(), alice, MoveRequest{App: "blog", Server: "https://to.example", Secret: m.secret, MaxHold: time.Nanosecond, Out: m.from.out})
	if hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "requests would wait") {
		t.Errorf("it says %v", err)
	}
	if m.is("refused", whole) != "here" {
		t.Error("it is gone")
	}
}

// As long as nobody knows where the app is, nothing runs it here; then it is
// where it is, or is taken back.
func TestMove_NobodyKnowsWhereItIs(t *testing.T) {
	for _, back := range []bool{false, true} {
		t.Run(fmt.Sprintf("taken back %v", back), func(t *testing.T) {
			t.Parallel()
			m := newMoveWorld(t)
			lost := hop3.Errorf(hop3.CodeUnavailable, "the network says no")
			m.between = func() { m.fail["finish"], m.fail["abandon"], m.fail["status"] = lost, lost, lost }
			m.from.moves.patience = time.Millisecond
			if err := m.move(); hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), "does not say whether 'blog' runs there") {
				t.Fatalf("it says %v", err)
			}
			for _, restarted := range []bool{false, true} {
				if restarted {
					m.from.start()
					m.connect()
				}
				m.from.must(m.from.repair(t.Context()))
				for _, is := range m.from.moves.all() {
					m.from.tendMove(t.Context(), is)
				}
				m.from.settled()
				if len(m.from.runtime.running) > 0 || len(m.from.proxy.route("blog").Upstreams) > 0 {
					t.Errorf("restarted %v: it runs here: %v", restarted, m.from.runtime.running)
				}
				if err := m.from.StartApp(t.Context(), alice, "blog", m.from.out); hop3.CodeOf(err) != hop3.CodeConflict {
					t.Errorf("it is started: %v", err)
				}
			}
			clear(m.fail)
			if back {
				m.from.must(m.from.TakeBack(t.Context(), alice, "blog", m.from.out))
				m.from.must(m.to.abandonHere(t.Context(), "blog"))
			} else {
				for _, is := range m.from.moves.all() {
					m.from.tendMove(t.Context(), is)
				}
			}
			want := whole // nothing was written
			if m.is("in the end", want) != "here" {
				t.Error("it is gone")
			}
			if err := m.from.TakeBack(t.Context(), alice, "blog", m.from.out); hop3.CodeOf(err) != hop3.CodeConflict {
				t.Errorf("it is taken back once more: %v", err)
			}
		})
	}
}
