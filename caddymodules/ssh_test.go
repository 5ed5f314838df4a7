package caddymodules

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/client"
	"github.com/abilian/hop3/hop3/platform"
)

// startDoors starts a server with its API and SSH, and returns SSH's address.
func startDoors(t *testing.T) (s *server, ssh string) {
	t.Helper()
	s = startServer(t, func(o *BaseOptions) {
		ssh = fmt.Sprintf("%s:%d", o.BindHost, freePort(t, o.BindHost))
		o.App = fmt.Appendf(nil, `{"home": %q, "ssh_listen": "tcp/%s"}`, o.Home, ssh)
		o.RPCAddress = fmt.Sprintf("%s:%d", o.BindHost, freePort(t, o.BindHost))
		o.ControlHandlers = []json.RawMessage{[]byte(`{"handler": "hop3_rpc"}`)}
	})
	return s, ssh
}

// knock connects to SSH from another address of the loopback network for each
// from.
func knock(t *testing.T, ssh string, from int, key gossh.Signer) *gossh.Client {
	t.Helper()
	conn := connect(t, ssh, from)
	c, channels, requests, err := gossh.NewClientConn(conn, ssh, &gossh.ClientConfig{
		User: "hop3", HostKeyCallback: gossh.InsecureIgnoreHostKey(), Auth: []gossh.AuthMethod{gossh.PublicKeys(key)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return gossh.NewClient(c, channels, requests)
}

func connect(t *testing.T, ssh string, from int) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 251, byte(from/250), byte(1+from%250))}, Timeout: 20 * time.Second}
	conn, err := dialer.DialContext(t.Context(), "tcp", ssh)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Whose key is removed, whose token is revoked, who is disabled or removed has
// nothing open a moment later, by whichever door they came. Others go on.
func TestWhatIsOpenEndsWithTheRights(t *testing.T) {
	s, ssh := startDoors(t)
	p := running(s.options.Home).Platform
	columns := comers(t, p)
	viewer, user := columns[1], columns[3]
	deploy := running(s.options.Home).Streams.New("blog", user.name)
	defer deploy.Finish(true, "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	// all opens one of each, and returns a channel for each that is closed when it ends.
	all := func(who comer) map[string]chan struct{} {
		opened := map[string]chan struct{}{}
		ends := func(name string) func() {
			ended := make(chan struct{})
			opened[name] = ended
			return func() { close(ended) }
		}
		connection := knock(t, ssh, 1, who.key)
		t.Cleanup(func() { connection.Close() })
		session, err := connection.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		begun := &firstWrite{begun: make(chan struct{})}
		session.Stdout = begun
		if err := session.Start("events -f --app blog"); err != nil {
			t.Fatal(err)
		}
		ended := ends("ssh")
		go func() {
			defer ended()
			_ = session.Wait() // how, is not asked
		}()
		select {
		case <-begun.begun:
		case <-ctx.Done():
			t.Fatal("SSH says nothing")
		}
		for _, path := range []string{"/api/apps/blog/logs/stream", "/api/events?app=blog", "/api/stream/" + deploy.ID} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.options.RPCAddress+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+who.token)
			resp, err := http.DefaultClient.Do(req)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %v, %v", path, resp, err)
			}
			ended := ends("GET " + path)
			go func() {
				defer ended()
				defer resp.Body.Close()
				_, _ = io.Copy(io.Discard, resp.Body)
			}()
		}
		c, err := client.New(client.Config{URL: "http://" + s.options.RPCAddress, Token: who.token})
		if err != nil {
			t.Fatal(err)
		}
		spoken := &firstWrite{begun: make(chan struct{})}
		consoleEnded := ends("console")
		console := client.Console{Stdin: strings.NewReader(""), Stdout: spoken, Stderr: io.Discard}
		go func() {
			defer consoleEnded()
			_, _ = c.Attach(ctx, []string{"events", "-f", "--app", "blog"}, console)
		}()
		select {
		case <-spoken.begun:
		case <-ctx.Done():
			t.Fatal("the console says nothing")
		}
		return opened
	}

	others := all(viewer)
	host := platform.Actor{Username: "host", Admin: true}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, loss := range []struct {
		what string
		lose func() error
	}{
		{"a token is revoked", func() error {
			if _, _, err := p.CreateToken(ctx, host, user.name, "ci", hop3.FullScope, time.Hour); err != nil {
				return err
			}
			return p.RevokeToken(ctx, host, user.name, "ci")
		}},
		{"the key is removed", func() error {
			_, err := p.RemoveKey(ctx, host, gossh.FingerprintSHA256(user.key.PublicKey()))
			return err
		}},
		{"the user is disabled", func() error { return p.SetActive(ctx, host, user.name, false) }},
		{"the user is removed", func() error { return p.RemoveUser(ctx, host, user.name) }},
	} {
		must(p.SetActive(ctx, host, user.name, true))
		_, err := p.AddKey(ctx, host, user.name, string(gossh.MarshalAuthorizedKey(user.key.PublicKey())))
		if hop3.CodeOf(err) != hop3.CodeConflict { // it is there
			must(err)
		}
		user.token, err = p.IssueToken(ctx, host, user.name)
		must(err)
		mine := all(user)
		must(loss.lose())
		for name, ended := range mine {
			select {
			case <-ended:
			case <-ctx.Done():
				t.Errorf("%s, and %s goes on", loss.what, name)
			}
		}
	}
	for name, ended := range others {
		select {
		case <-ended:
			t.Errorf("%s of another user has ended, too", name)
		default:
		}
	}
}

// firstWrite says when the first is written to it.
type firstWrite struct {
	once  sync.Once
	begun chan struct{}
}

func (w *firstWrite) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.begun) })
	return len(p), nil
}

// A client with 10^4 channels that are refused, and connections that never get
// as far as a user, leave no goroutine and no memory behind, and take nothing
// from the requests of apps.
func TestAFloodOfSSH(t *testing.T) {
	s, ssh := startDoors(t)
	key := comers(t, running(s.options.Home).Platform)[3].key
	s.set(upstreams("site", 1, "site.localhost", backend(t, says("hello"))))
	quiet, flooded := 0.0, math.Inf(1)
	p99 := func() float64 {
		took := make([]float64, 200)
		for i := range took {
			begin := time.Now()
			if a := s.get("http://site.localhost/"); a.text != "hello" {
				t.Fatalf("%d %s", a.StatusCode, a.text)
			}
			took[i] = time.Since(begin).Seconds()
		}
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	flood := func(channels, halfOpen int) {
		var wg sync.WaitGroup
		defer wg.Wait()
		for i := range halfOpen {
			conn := connect(t, ssh, i)
			defer conn.Close()
			_, err := io.WriteString(conn, []string{"", "SSH-2.0-", "SSH-2.0-x\r\n", "SSH-2.0-x\r\n\x00\x00\x40\x00\x06\x14"}[i%4])
			if err != nil && i < 64 {
				t.Error(err)
			}
		}
		for n := range 2 {
			c := knock(t, ssh, 1000+n, key)
			wg.Go(func() {
				defer c.Close()
				for i := range channels / 2 {
					kind := []string{"direct-tcpip", "forwarded-tcpip", "x11", "direct-streamlocal@openssh.com", "nonsense"}[i%5]
					if _, _, err := c.OpenChannel(kind, bytes.Repeat([]byte("x"), i%100)); err == nil {
						t.Errorf("a channel %s is taken", kind)
					}
					if i%100 == 0 {
						if ok, _, err := c.SendRequest("tcpip-forward", true, nil); ok || err != nil {
							t.Errorf("a forward is taken: %v", err)
						}
					}
				}
			})
		}
		flooded = min(flooded, p99())
	}
	flood(100, 10) // what is there once for all
	s.client.CloseIdleConnections()
	goroutines, memory := runtime.NumGoroutine(), heap()
	for range 4 {
		quiet = max(quiet, p99())
		flood(2500, 150)
	}
	s.client.CloseIdleConnections()
	deadline := time.Now().Add(30 * time.Second)
	for runtime.NumGoroutine() > goroutines+10 {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after\n%s", goroutines, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
	if after := heap(); after > memory+16<<20 {
		t.Errorf("%d bytes in use before, %d after", memory, after)
	}
	if flooded > 25*quiet {
		t.Errorf("99 %% of requests took up to %.1f ms, and up to %.1f ms at best in a flood", quiet*1000, flooded*1000)
	}
	t.Logf("p99 %.1f ms, in a flood %.1f ms", quiet*1000, flooded*1000)
}

// heap returns the bytes in use, after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what had a finalizer
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
