package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// contestant is a running server.
type contestant struct {
	kind    string // hop3, stock, nginx, traefik or backend
	apps    int
	address string
	cmd     *exec.Cmd
	said    *bytes.Buffer
	exited  chan struct{} // closed when it has ended
	results []result
	// change has the first app served by another upstream, as a deploy does,
	// and returns when that is asked for, not when it is so.
	change func(upstream string) error
	moved  change // what changes cost
}

func host(i int) string { return fmt.Sprintf("app%05d.bench.localhost", i) }

// starter starts a contestant for n apps whose upstream is the backend.
type starter func(ctx context.Context, dir string, n int, backend string) (*contestant, error)

var starters = map[string]starter{"hop3": startHop3, "stock": startStock, "nginx": startNginx, "traefik": startTraefik}

// startAll starts the backend and a contestant of each kind and size. What it
// started is returned also with an error.
func startAll(ctx context.Context, dir string, o options) (all []*contestant, other string, err error) {
	backend, other, err := startBackend(ctx, dir)
	if err != nil {
		return nil, "", err
	}
	all = append(all, backend)
	for _, kind := range o.kinds {
		for _, n := range o.sizes {
			home := filepath.Join(dir, fmt.Sprintf("%s-%d", kind, n))
			if err := os.MkdirAll(filepath.Join(home, "run"), 0o700); err != nil {
				return all, "", err
			}
			c, err := starters[kind](ctx, home, n, backend.address)
			if c != nil {
				all = append(all, c)
			}
			if err != nil {
				return all, "", fmt.Errorf("starting %s with %d apps: %w", kind, n, err)
			}
		}
	}
	return all, other, nil
}

func startHop3(ctx context.Context, home string, n int, backend string) (*contestant, error) {
	return startSelf(ctx, home, "hop3", n, backend)
}

func startStock(ctx context.Context, home string, n int, backend string) (*contestant, error) {
	return startSelf(ctx, home, "stock", n, backend)
}

// startSelf runs this program as a contestant. It changes its first app to each
// upstream that it reads.
func startSelf(ctx context.Context, home, kind string, n int, backend string) (*contestant, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-serve", strings.Join([]string{kind, strconv.Itoa(n), home, address, backend}, ","))
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c := &contestant{kind: kind, apps: n, address: address, cmd: cmd}
	c.change = func(upstream string) error {
		_, err := fmt.Fprintln(orders, upstream)
		return err
	}
	return c, c.start(ctx)
}

// start starts the server and waits until it answers for its first and its last
// app.
func (c *contestant) start(ctx context.Context) error {
	c.said = new(bytes.Buffer)
	c.cmd.Stdout, c.cmd.Stderr = c.said, c.said
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.exited = make(chan struct{})
	go func() {
		defer close(c.exited)
		_ = c.cmd.Wait() // how it ended is in what it said
	}()
	deadline := time.After(3 * time.Minute)
	for _, i := range []int{0, c.apps - 1} {
		for {
			text, err := c.ask(ctx, host(i))
			if err == nil && strings.HasPrefix(text, "hello") {
				break
			}
			select {
			case <-time.After(20 * time.Millisecond):
				continue
			case <-ctx.Done():
			case <-deadline:
			case <-c.exited:
			}
			return errors.Join(fmt.Errorf("it does not answer for %s", host(i)), err, c.trouble())
		}
	}
	return nil
}

// ask makes a request on a connection of its own.
func (c *contestant) ask(ctx context.Context, host string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address+"/", nil)
	if err != nil {
		return "", err
	}
	req.Host, req.Close = host, true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func (c *contestant) stop() {
	if c.exited == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	<-c.exited
}

// trouble is what the server said, as an error.
func (c *contestant) trouble() error {
	if c.said == nil || c.said.Len() == 0 {
		return nil
	}
	return errors.New(c.said.String())
}

// freeAddress returns an address of the loopback network that nothing uses.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.77.%d.1:0", time.Now().UnixNano()>>20&0xff))
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
