package front

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
	"github.com/abilian/hop3/hop3/routing"
)

func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil || strings.HasPrefix(string(text), Marker) && info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v, %v", e.Name(), info.Mode(), err)
		}
		out[e.Name()] = strings.TrimPrefix(string(text), Marker)
	}
	return out
}

func ours(files map[string]string) map[string][]byte {
	out := map[string][]byte{}
	for name, text := range files {
		out[name] = []byte(Marker + text)
	}
	return out
}

func TestInstallLeavesTheAdminsFilesAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	first := map[string]string{"blog.conf": "1", "gone.conf": "1", "_main.conf": "1"}
	if _, err := install(dir, ours(first)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "admin.conf"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	undo, err := install(dir, ours(map[string]string{"blog.conf": "2", "shop.conf": "2", "_main.conf": "2"}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"blog.conf": "2", "shop.conf": "2", "_main.conf": "2", "admin.conf": "mine"}
	if got := listing(t, dir); !maps.Equal(got, want) {
		t.Errorf("there are %v", got)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	first["admin.conf"] = "mine"
	if got := listing(t, dir); !maps.Equal(got, first) {
		t.Errorf("after it was taken back there are %v", got)
	}
}

// One file that cannot be written takes the others back.
func TestInstallIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	first := map[string]string{"a.conf": "1", "b.conf": "1"}
	if _, err := install(dir, ours(first)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "c.conf", "full"), 0o700); err != nil { // no file can take its place
		t.Fatal(err)
	}
	if _, err := install(dir, ours(map[string]string{"a.conf": "2", "c.conf": "2"})); err == nil {
		t.Fatal("a directory was replaced")
	}
	if err := os.RemoveAll(filepath.Join(dir, "c.conf")); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, dir); !maps.Equal(got, first) {
		t.Errorf("there are %v", got)
	}
}

// maker makes certificates for hosts, whatever they are.
type maker struct {
	mu    sync.Mutex
	until time.Time
	names func(host string) string
	made  map[string]int
	chain map[string][]byte
}

func (m *maker) Certificate(_ context.Context, host string) (chain, key []byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.chain[host] != nil {
		return m.chain[host], []byte("key"), nil
	}
	m.made[host]++
	name := m.names(host)
	if name == "" {
		return nil, nil, errors.New("not today")
	}
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: m.until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		return nil, nil, err
	}
	m.chain[host] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return m.chain[host], []byte("key"), nil
}

func newMaker() *maker {
	return &maker{until: time.Now().Add(time.Hour), names: func(host string) string { return host }, made: map[string]int{}, chain: map[string][]byte{}}
}

func TestCertificatesAreExported(t *testing.T) {
	dir, m := t.TempDir(), newMaker()
	hosts := []string{"blog.test", "*.wild.test"}
	e := newExported(dir, m, zap.NewNop())
	if !e.refresh(t.Context(), hosts) || e.refresh(t.Context(), hosts) {
		t.Error("the certificates did not change once")
	}
	all := e.of([]string{"nobody.test", "blog.test", "*.wild.test"})
	if len(all) != 2 || all[0].Host != "blog.test" || all[1].File != filepath.Join(dir, "_.wild.test.pem") || all[0].Fingerprint == all[1].Fingerprint {
		t.Fatalf("%+v", all)
	}
	for _, c := range all {
		if info, err := os.Stat(c.File); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	// A new one is another file to the program.
	m.chain = map[string][]byte{}
	if !e.refresh(t.Context(), hosts[:1]) || e.of(hosts)[0].Fingerprint == all[0].Fingerprint {
		t.Error("a renewed certificate is not exported")
	}
	// The next server finds them.
	again := newExported(dir, m, zap.NewNop())
	again.load(hosts)
	if !slices.Equal(again.of(hosts), e.of(hosts)) {
		t.Errorf("after a restart: %+v", again.of(hosts))
	}
	if err := again.forget(map[string]bool{"blog.test": true}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 || len(again.of(hosts)) != 1 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// What a program in front would choke on does not reach it, and its trouble is
// logged once.
func TestDamagedCertificatesAreNotExported(t *testing.T) {
	logged, logs := observer.New(zap.WarnLevel)
	dir, m := t.TempDir(), newMaker()
	m.names = func(string) string { return "other.test" }
	m.chain["text.test"], m.chain["cut.test"] = []byte("hello"), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	e := newExported(dir, m, zap.New(logged))
	hosts := []string{"blog.test", "text.test", "cut.test"}
	for range 3 {
		if e.refresh(t.Context(), hosts) {
			t.Error("a damaged certificate is taken")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 || len(e.of(hosts)) != 0 || logs.Len() != len(hosts) {
		t.Errorf("%v is there, and %d lines are logged", left, logs.Len())
	}
	// Nor is one found on the disk that has expired.
	m.names, m.until = func(host string) string { return host }, time.Now().Add(-time.Minute)
	if e.refresh(t.Context(), []string{"old.test"}); len(e.of([]string{"old.test"})) != 1 {
		t.Fatal("it is not exported")
	}
	again := newExported(dir, m, zap.NewNop())
	if again.load([]string{"old.test"}); len(again.of([]string{"old.test"})) != 0 {
		t.Error("an expired certificate is used again")
	}
}

func TestAProcessIsThatOneOnly(t *testing.T) {
	home := t.TempDir()
	if left(home) != nil {
		t.Error("something is left of nothing")
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, ok := procfs.Find(cmd.Process.Pid)
	boot, err := procfs.BootID()
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	p := &process{Program: "sleep", PID: cmd.Process.Pid, Start: found.Start, Boot: boot, Sockets: []Socket{{"http", "127.0.0.1:1"}}}
	if err := p.save(home); err != nil {
		t.Fatal(err)
	}
	if again := left(home); again == nil || again.PID != p.PID || !slices.Equal(again.Sockets, p.Sockets) {
		t.Errorf("%+v is left", again)
	}
	for what, other := range map[string]process{
		"a later process of the number": {PID: p.PID, Start: p.Start + 1, Boot: boot},
		"one of before the last boot":   {PID: p.PID, Start: p.Start, Boot: "other"},
	} {
		if other.alive() {
			t.Errorf("%s is taken for ours", what)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if !p.wait(20*time.Second) || left(home) != nil {
		t.Error("it has ended and is taken to run")
	}
	if err := os.WriteFile(stateFile(home), []byte(`{"pid": "`), 0o600); err != nil {
		t.Fatal(err)
	}
	if left(home) != nil {
		t.Error("something is left of a damaged file")
	}
}

// A muted socket takes no connection, and loses none: it is there once it
// listens again.
func TestMute(t *testing.T) {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // as ours are opened
	l, err := plain.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	unmute := mute([]*os.File{socket})
	if c, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond); err == nil {
		c.Close()
		t.Fatal("a muted socket took a connection")
	}
	connected := make(chan error, 1)
	go func() {
		c, err := net.DialTimeout("tcp", l.Addr().String(), time.Minute)
		if err == nil {
			c.Close()
		}
		connected <- err
	}()
	unmute()
	if err := <-connected; err != nil {
		t.Error(err)
	}
}

func TestSitesAreWhatTheProgramNeedsToKnow(t *testing.T) {
	p := New(Options{Home: t.TempDir(), Table: routing.NewTable(), Certificates: newMaker(), ControlHosts: []string{"hop3.test"}, Logger: zap.NewNop()})
	for _, r := range []hop3.Route{
		{App: "shop", Release: 1, Hosts: []string{"shop.test"}, Upstreams: []string{"127.0.0.1:1"}, Policy: &hop3.HTTPPolicy{Upstream: hop3.UpstreamH2C}},
		{App: "blog", Release: 1, Hosts: []string{"blog.test", "*.blog.test"}, Upstreams: []string{"127.0.0.1:2"}},
		{App: "none", Release: 1, Upstreams: []string{"127.0.0.1:3"}},
	} {
		if err := p.Set(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	p.certs.refresh(t.Context(), []string{"blog.test"})
	sites := p.sites()
	if len(sites) != 2 || sites[0].App != "blog" || len(sites[0].Certificates) != 1 || sites[0].H2C || !sites[1].H2C {
		t.Errorf("%+v", sites)
	}
	if err := p.Set(t.Context(), hop3.Route{App: "thief", Release: 1, Hosts: []string{"blog.test"}}); hop3.CodeOf(err) != hop3.CodeConflict || len(p.sites()) != 2 {
		t.Errorf("a host of another app: %v", err)
	}
	if err := p.Remove(t.Context(), "blog"); err != nil || len(p.sites()) != 1 || p.hosts()["blog.test"] || !p.hosts()["hop3.test"] {
		t.Errorf("%v, %+v, %v", err, p.sites(), p.hosts())
	}
}
