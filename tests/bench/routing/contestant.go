package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
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
	kind    string // hop3, stock, nginx or backend
	apps    int
	address string
	cmd     *exec.Cmd
	said    *bytes.Buffer
	results []result
}

func host(i int) string { return fmt.Sprintf("app%05d.bench.localhost", i) }

// startAll starts the backend and a contestant of each kind and size. What it
// started is returned also with an error.
func startAll(ctx context.Context, dir string, o options) (all []*contestant, err error) {
	backend, err := startNginx(ctx, dir, "backend", 1, "")
	if err != nil {
		return nil, err
	}
	all = append(all, backend)
	for _, kind := range o.kinds {
		for _, n := range o.sizes {
			var c *contestant
			if kind == "nginx" {
				c, err = startNginx(ctx, dir, kind, n, backend.address)
			} else {
				c, err = startSelf(ctx, dir, kind, n, backend.address)
			}
			if err != nil {
				return all, err
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// startSelf runs this program as a contestant.
func startSelf(ctx context.Context, dir, kind string, n int, backend string) (*contestant, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, fmt.Sprintf("%s-%d", kind, n))
	if err := os.MkdirAll(filepath.Join(home, "run"), 0o700); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-serve", strings.Join([]string{kind, strconv.Itoa(n), home, address, backend}, ","))
	return start(kind, n, address, cmd)
}

func startNginx(ctx context.Context, dir, kind string, n int, backend string) (*contestant, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	prefix := filepath.Join(dir, fmt.Sprintf("%s-%d", kind, n))
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		return nil, err
	}
	config := filepath.Join(prefix, "nginx.conf")
	if err := os.WriteFile(config, nginxConfig(prefix, kind, n, address, backend), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "nginx", "-p", prefix, "-c", config, "-e", filepath.Join(prefix, "error.log"))
	return start(kind, n, address, cmd)
}

// nginxConfig is n server blocks, each with its own upstream, or the backend.
func nginxConfig(prefix, kind string, n int, address, backend string) []byte {
	var b bytes.Buffer
	workers := "auto"
	if kind == "backend" {
		workers = "1"
	}
	fmt.Fprintf(&b, "daemon off;\nworker_processes %s;\npid %s/nginx.pid;\n", workers, prefix)
	fmt.Fprintf(&b, "events { worker_connections 4096; }\nhttp {\naccess_log off;\nkeepalive_requests 1000000000;\n")
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s/%s;\n", temp, prefix, temp)
	}
	if kind == "backend" {
		fmt.Fprintf(&b, "default_type text/plain;\nserver { listen %s backlog=4096; location / { return 200 'hello from the backend\\n'; } }\n", address)
	} else {
		fmt.Fprintf(&b, "server_names_hash_max_size 131072;\nserver_names_hash_bucket_size 128;\nproxy_http_version 1.1;\nproxy_set_header Connection '';\n")
		fmt.Fprintf(&b, "proxy_set_header Host $host;\nproxy_set_header X-Forwarded-For $remote_addr;\nproxy_set_header X-Forwarded-Proto $scheme;\n")
		for i := range n {
			fmt.Fprintf(&b, "upstream u%d { server %s; keepalive 32; keepalive_requests 1000000000; }\n", i, backend)
			fmt.Fprintf(&b, "server { listen %s; server_name %s; location / { proxy_pass http://u%d; } }\n", address, host(i), i)
		}
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// start starts a server and waits until it listens.
func start(kind string, n int, address string, cmd *exec.Cmd) (*contestant, error) {
	c := &contestant{kind: kind, apps: n, address: address, cmd: cmd, said: new(bytes.Buffer)}
	cmd.Stdout, cmd.Stderr = c.said, c.said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return c, nil
		}
		if syscall.Kill(cmd.Process.Pid, 0) != nil {
			break
		}
	}
	c.stop()
	return nil, errors.Join(fmt.Errorf("%s with %d apps does not listen", kind, n), c.trouble())
}

func (c *contestant) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	_ = c.cmd.Wait()
}

// trouble is what the server said, as an error.
func (c *contestant) trouble() error {
	if c.said.Len() == 0 {
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
