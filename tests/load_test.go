package tests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// loadRepository makes a repository whose app is the built loadapp.
func loadRepository(t *testing.T, s *server, app string) (dir string) {
	t.Helper()
	dir, err := s.repository(app, map[string]string{"Procfile": "web: ./loadapp\n", "version": "1\n"})
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "loadapp"), "./loadapp")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building loadapp: %v\n%s", err, out)
	}
	if err := s.commit(dir, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRedeployUnderLoad redeploys ten times under constant load, and then makes
// every other change that replaces what runs. No request may fail, no
// WebSocket may break, a download begun on the first release must end whole.
func TestRedeployUnderLoad(t *testing.T) {
	for _, runtime := range runtimes(t) {
		t.Run(runtime, func(t *testing.T) { redeployUnderLoad(t, runtime) })
	}
}

func redeployUnderLoad(t *testing.T, runtime string) {
	const redeploys, sockets, perSecond = 10, 4, 220
	s := startServerWith(t, "PROCESS_MANAGER="+runtime)
	dir := loadRepository(t, s, "load")
	if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(err)
	}
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	load, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	var requests, failures atomic.Int64
	var slowest atomic.Int64
	fail := func(format string, args ...any) {
		if failures.Add(1) <= 20 {
			t.Errorf(format, args...)
		}
	}

	// Half of the load reuses its connections, half of it opens new ones.
	for i := range 4 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 1}}
		all.Go(func() {
			tick := time.NewTicker(4 * time.Second / perSecond)
			defer tick.Stop()
			for {
				select {
				case <-load.Done():
					return
				case <-tick.C:
				}
				started := time.Now()
				if err := s.hit(ctx, client, "load.localhost"); err != nil {
					fail("request: %v", err)
				}
				slowest.Store(max(slowest.Load(), int64(time.Since(started))))
				requests.Add(1)
			}
		})
	}
	for range sockets {
		all.Go(func() {
			if err := s.chat(ctx, load, "load.localhost"); err != nil {
				fail("WebSocket: %v", err)
			}
		})
	}
	const size = 1500 // bytes, at 100 a second
	all.Go(func() {
		_, body, err := s.get(ctx, "load.localhost", "/slow?n="+strconv.Itoa(size))
		if err != nil || len(body) != size {
			fail("slow download: %d of %d bytes: %v", len(body), size, err)
		}
	})

	began := time.Now()
	for n := 2; n <= redeploys+1; n++ {
		if err := s.commit(dir, map[string]string{"version": strconv.Itoa(n) + "\n"}); err != nil {
			t.Fatal(err)
		}
		told, err := s.run(dir, "git", "push", "hop3", "main")
		if err != nil {
			t.Fatal(err)
		}
		if !handover.MatchString(told) || n == 2 && !strings.Contains(told, " go on there") { // the WebSockets do
			t.Fatalf("push %d does not tell how the requests under way fared:\n%s", n, told)
		}
		if _, body, err := s.get(ctx, "load.localhost", "/"); err != nil || strings.TrimSpace(body) != strconv.Itoa(n) {
			t.Fatalf("after push %d the app answers %q, %v", n, body, err)
		}
	}
	for _, change := range []string{
		"ps scale web=3", "env set COLOUR=blue", "restart", "rollback v10", "ps scale web=1", "env unset COLOUR",
	} {
		if _, err := s.run(dir, "hop3", append(strings.Fields(change), "--app", "load")...); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	stop()
	all.Wait()
	rate := float64(requests.Load()) / took.Seconds()
	t.Logf("%d redeploys and 6 other changes in %.1f s, %d requests (%.0f a second), %d failures, slowest %.0f ms",
		redeploys, took.Seconds(), requests.Load(), rate, failures.Load(), time.Duration(slowest.Load()).Seconds()*1000)
}

// handover is what the pusher is told of the requests that were under way.
var handover = regexp.MustCompile(`Switched from v\d+ in \S+(, with no request under way| with \d+ under way: \d+ finished on v\d+, 0 failed)`)

// hit makes one request that must be answered with 200.
func (s *server) hit(ctx context.Context, client *http.Client, host string) error {
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://127.0.0.1:%d/", s.http), nil)
	if err != nil {
		return err
	}
	req.Host = host
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	return wholeAndOK(res)
}

// chat sends and reads messages on one WebSocket until talk is done.
func (s *server) chat(ctx, talk context.Context, host string) error {
	conn, _, err := websocket.Dial(ctx, fmt.Sprintf("ws://127.0.0.1:%d/ws", s.http), &websocket.DialOptions{Host: host})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-talk.Done():
			return conn.Close(websocket.StatusNormalClosure, "")
		case <-tick.C:
		}
		text := strconv.Itoa(i)
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			return err
		}
		_, got, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if string(got) != text {
			return errors.New("echo of " + text + " was " + string(got))
		}
	}
}

// wholeAndOK reads an answer to its end, which must be a 200.
func wholeAndOK(res *http.Response) error {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", res.StatusCode, body)
	}
	return err
}
